"""How often the neurons of a backbone fire, at every prefix of a pass."""

from collections.abc import Iterable
from types import TracebackType

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..fused import channels_last
from ..neurons import SpikingNeuron
from .steps import check_time_steps


class FiringRate:
    """Counts spikes while it is entered.

    The rate at T is the mean, over images, neurons and the first T steps, of what the backbone's
    neurons put out (0 or 1 for spiking neurons; the sums that ``connect='ADD'`` makes of them are
    not counted). Every neuron weighs the same, so a layer weighs by its number of neurons, summed
    over the images' own sizes.

    Only one number a layer and step is kept, on the device, so that nothing waits for it.

    Args:
        backbone: whose layers of neurons are read.
        time_steps: the T to report.
    """

    def __init__(self, backbone: SpikingBackbone, time_steps: Iterable[int]) -> None:
        self.backbone = backbone
        self.time_steps = check_time_steps(time_steps)
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self.reset()

    def reset(self) -> None:
        """Forget every spike counted so far."""
        self._spikes: Tensor | None = None
        self._neurons = 0

    def __enter__(self) -> "FiringRate":
        self._handles = [n.register_forward_hook(self._count) for n in self.backbone.neurons]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @torch.no_grad()
    def _count(self, neuron: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(neuron, SpikingNeuron)
        steps = neuron.clock.time_steps
        # float32 sums whole numbers exactly up to 2^24 a block; the running total is float64.
        if output.dim() == 4 and channels_last(output):  # a sum does not ask for their order
            output = output.permute(0, 2, 3, 1)
        spikes = output.detach().reshape(steps, -1).sum(1, dtype=torch.float32).double()
        longest = max(self.time_steps)
        if steps < longest:
            raise ValueError(f"a pass of {steps} steps has no firing rate at T={longest}")
        self._spikes = spikes[:longest] + (0 if self._spikes is None else self._spikes)
        self._neurons += output.numel() // steps

    def rates(self) -> dict[int, float]:
        """Mean firing rate at each T over all processes; NaN if nothing ran."""
        longest = max(self.time_steps)
        spikes = torch.zeros(longest).double() if self._spikes is None else self._spikes
        totals = torch.cat([spikes, spikes.new_tensor([self._neurons])])
        all_reduce(totals)
        *per_step, neurons = totals.tolist()
        return {
            t: sum(per_step[:t]) / (t * neurons) if neurons else float("nan")
            for t in self.time_steps
        }
