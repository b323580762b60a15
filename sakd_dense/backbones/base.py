"""Time: how any spiking backbone takes images in and gives firing rates out."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..neurons.clock import Clock
from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError
from .folding import fold_batchnorm
from .memory_format import plain_convolutions

OUTPUTS = ("rate", "sequence")


class Readout(nn.Module):
    """Output of the backbone, computed from the sequences of its stages.

    Input: a tuple of ``[T, B, C, H, W]``. Output: the same (``output='sequence'``), or the
    firing rates, a tuple of ``[B, C, H, W]``. A module of its own, called once a forward, so that
    a PyTorch forward hook on it sees every time step (the sweep and level 2 read prefixes there).

    Example:
        >>> import torch
        >>> from sakd_dense.backbones.base import Readout
        >>> from sakd_dense.neurons import Clock
        >>> readout = Readout(Clock(time_steps=4))
        >>> tuple(readout((torch.ones(4, 2, 8, 4, 4),))[0].shape)
        (2, 8, 4, 4)
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.output = "rate"

    def forward(self, sequences: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.output == "sequence":
            return tuple(s.contiguous() for s in sequences)
        return tuple(self.clock.rate(s) for s in sequences)


class SpikingBackbone(BaseModule):
    """A backbone that runs T time steps inside its own ``forward``.

    Attributes:
        time_steps: T, a plain attribute: it may be changed on a built model at any time.
        output: ``'rate'`` or ``'sequence'``.
        readout: the :class:`Readout`, the place to hook for single time steps.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet  # a SpikingBackbone
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8, out_indices=(3,))
        >>> backbone.time_steps, backbone.output = 2, "sequence"
        >>> tuple(backbone(torch.rand(1, 3, 64, 64))[0].shape)
        (2, 1, 64, 2, 2)
    """

    #: Whether images and weights are channels last on CPUs.
    channels_last = True
    _laid_out = False

    def __init__(
        self,
        time_steps: int = 4,
        output: str = "rate",
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self._keep_time(time_steps, output)

    def _keep_time(self, time_steps: int, output: str) -> None:
        self.clock = Clock(_positive(time_steps))
        self.time_steps = time_steps
        self.readout = Readout(self.clock)
        self.output = output

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SpikingBackbone":
        super()._apply(fn, recurse)  # .to(device), .half() ...
        self._lay_out()
        return self

    def _lay_out(self) -> None:
        """Weights on a CPU become channels last, as the images will be; on others they are not.

        Or else oneDNN turns weights and their gradients in every step. GPU kernels of SpikingJelly
        want contiguous sequences, so what was laid out here goes back when it is moved there.
        """
        weights = [conv.weight for conv in plain_convolutions(self)]
        wanted = self.channels_last and all(p.device.type == "cpu" for p in weights)
        if not wanted and not self._laid_out:
            return
        layout = torch.channels_last if wanted else torch.contiguous_format
        for weight in weights:
            weight.data = weight.data.contiguous(memory_format=layout)
        self._laid_out = wanted

    @property
    def output(self) -> str:
        return self.readout.output

    @output.setter
    def output(self, value: str) -> None:
        if value not in OUTPUTS:
            raise UserError(f"output={value!r}: must be one of {OUTPUTS}")
        self.readout.output = value

    @property
    def neurons(self) -> list[SpikingNeuron]:
        """Every layer of neurons, in the order of registration."""
        return [m for m in self.modules() if isinstance(m, SpikingNeuron)]

    @property
    def causal(self) -> bool:
        """Whether the features at t are a prefix of a longer pass (false for PSN neurons)."""
        return all(n.causal for n in self.neurons)

    def fuse(self) -> "SpikingBackbone":
        """Folds every BatchNorm into its convolution, in place, for inference alone.

        The features stay what they were, to rounding: in float64 they are equal to 1e-4; in float32
        a spike flips now and then, where the potential meets the threshold in its last digits, and
        what follows sees it (benchmarks/NOTES.md). The state dict is another afterwards: load
        weights first, and keep a copy for training.

        Returns:
            The backbone, in eval mode.
        """
        fold_batchnorm(self.eval())
        return self

    @abstractmethod
    def sequences(self, x: Tensor) -> tuple[Tensor, ...]:
        """The stages' outputs ``[T*B, C, H, W]``; ``self.clock`` shows T.

        Args:
            x: images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]``.
        """

    def handed_on(self, features: tuple[Tensor, ...]) -> Any:
        """Returns the readout's ``features`` in the form of the ANN's forward, which may give a
        tensor instead of a tuple of one.
        """
        return features

    def forward(self, x: Tensor) -> Any:
        """Firing rates ``[B, C, H, W]`` of the stages named by ``out_indices``.

        Args:
            x: images ``[B, C, H, W]``, shown unchanged at each of ``time_steps`` steps, or event
                frames ``[T, B, C, H, W]``, whose own T is taken.
        """
        if x.dim() not in (4, 5) or 0 in x.shape:
            raise UserError(
                f"{type(self).__name__} expects non-empty images [B, C, H, W] or frames [T, B, C, "
                f"H, W], got a tensor of shape {tuple(x.shape)}"
            )
        steps = x.shape[0] if x.dim() == 5 else _positive(self.time_steps)
        self.clock.start(steps)
        stages = tuple(s.unflatten(0, (steps, -1)) for s in self.sequences(x))
        return self.handed_on(self.readout(stages))


def _positive(time_steps: int) -> int:
    if isinstance(time_steps, bool) or not isinstance(time_steps, int) or time_steps < 1:
        raise UserError(f"time_steps={time_steps!r}: must be an integer of at least 1")
    return time_steps


__all__ = ["OUTPUTS", "Readout", "SpikingBackbone"]
