"""Base class of all spiking backbones, which run T time steps and return firing rates."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..neurons.forward_state import ForwardState
from ..neurons.layer import SpikingNeuron
from ..runtime.arguments import at_least
from ..runtime.errors import UserError
from .folding import fold_batchnorm
from .memory_format import plain_convolutions
from .silence import normalise_silence

OUTPUTS = ("rate", "sequence")


class Readout(nn.Module):
    """Output layer of a backbone, which reads the sequences of its stages.

    Input: a tuple of ``[T, B, C, H, W]``. Output: the same sequences (``output='sequence'``), or
    the firing rates, a tuple of ``[B, C, H, W]`` (``output='rate'``). The readout is a separate
    module that runs once per forward, so a PyTorch forward hook on it sees every time step. The
    sweep and level 2 read prefixes with such a hook.
    """

    def __init__(self, state: ForwardState) -> None:
        super().__init__()
        self.state = state
        self.output = "rate"

    def forward(self, sequences: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.output == "sequence":
            return tuple(s.contiguous() for s in sequences)
        return tuple(self.state.rate(s) for s in sequences)


class SpikingBackbone(BaseModule):
    """Backbone that runs T time steps inside its own ``forward``.

    Attributes:
        time_steps: number of time steps T. It can be changed on a built model at any time.
        output: ``'rate'`` or ``'sequence'``.
        readout: the :class:`Readout`. Register a hook on it to read single time steps.

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
        self.state = ForwardState(at_least("time_steps", time_steps))
        self.time_steps = time_steps
        self.readout = Readout(self.state)
        self.output = output
        normalise_silence()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SpikingBackbone":
        super()._apply(fn, recurse)  # .to(device), .half() ...
        self.lay_out()
        return self

    def lay_out(self) -> None:
        """Makes the weights channels last if all are on a CPU, as the images will be.

        Otherwise oneDNN converts weights and their gradients in every step. SpikingJelly's GPU
        kernels need contiguous sequences, so weights that leave the CPU become contiguous again.
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
        """Whether a pass of t steps equals the first t of a longer pass (false for PSN neurons)."""
        return all(n.causal for n in self.neurons)

    def fuse(self) -> "SpikingBackbone":
        """Folds every BatchNorm into its convolution, in place, for inference only.

        The features stay the same up to rounding. In float64 they agree to 1e-4. In float32 a spike
        flips occasionally, where the potential and the threshold differ only in the last digits,
        and the later layers receive it (benchmarks/notebook/kernels.md). The state dict changes:
        load weights before folding, and keep a copy of the model for training.

        Returns:
            The backbone, in eval mode.
        """
        fold_batchnorm(self.eval())
        return self

    @abstractmethod
    def sequences(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the outputs of the stages, ``[T*B, C, H, W]`` each, with T from ``self.state``.

        Args:
            x: images ``[B, C, H, W]`` or event frames ``[T, B, C, H, W]``.
        """

    def format_features(self, features: tuple[Tensor, ...]) -> Any:
        """Returns the readout's ``features`` in the form in which the ANN returns its features.

        Some ANNs return a tensor instead of a tuple of one tensor.
        """
        return features

    def forward(self, x: Tensor) -> Any:
        """Returns the features of the stages that ``out_indices`` selects.

        Features are firing rates ``[B, C, H, W]`` for ``output='rate'``, and sequences
        ``[T, B, C, H, W]`` for ``output='sequence'``.

        Args:
            x: images ``[B, C, H, W]``, presented unchanged at each of ``time_steps`` steps, or
                event frames ``[T, B, C, H, W]``, whose own T is used.

        Raises:
            UserError: ``x`` is empty or of another shape, or ``time_steps`` is not an integer of
                at least 1.
        """
        if x.dim() not in (4, 5) or 0 in x.shape:
            raise UserError(
                f"{type(self).__name__} expects non-empty images [B, C, H, W] or frames [T, B, C, "
                f"H, W], got a tensor of shape {tuple(x.shape)}"
            )
        steps = x.shape[0] if x.dim() == 5 else at_least("time_steps", self.time_steps)
        self.state.start(steps)
        stages = tuple(s.unflatten(0, (steps, -1)) for s in self.sequences(x))
        return self.format_features(self.readout(stages))


__all__ = ["OUTPUTS", "Readout", "SpikingBackbone"]
