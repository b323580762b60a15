"""How often the neurons of a model fire, at every T that is read from one pass."""

from collections.abc import Iterable
from types import TracebackType

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ..backbones.time_steps import check_time_steps, spiking_backbones
from ..neurons.fused import channels_last
from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError


class FiringRate:
    """Counts spikes while it is entered.

    The rate at T is the mean, over images, neurons and the first T steps, of what the neurons put
    out (0 or 1 for spiking neurons; the sums that ``connect='ADD'`` makes of them are not counted).
    Every neuron weighs the same, so a layer weighs by its number of neurons, summed over the
    images' own sizes.

    A backbone's pass at the largest T is that of every smaller one. A neck and a head that spike
    run once a T, on a sequence of that length: each T has its own.

    Only one number a layer and step is kept, on the device, so that nothing waits for it.

    Args:
        model: whose neurons are read; a backbone is one, too.
        time_steps: the T to report.
    """

    def __init__(self, model: nn.Module, time_steps: Iterable[int]) -> None:
        self.time_steps = check_time_steps(time_steps)
        self.neurons = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
        self._prefixed = {n for b in spiking_backbones(model).values() for n in b.neurons}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self.reset()

    def reset(self) -> None:
        """Forget every spike counted so far."""
        self._spikes: Tensor | None = None
        self._neurons = 0
        #: Behind the backbone, by T: spikes, and how many there could have been.
        self._behind: dict[int, Tensor | float] = dict.fromkeys(self.time_steps, 0.0)
        self._chances = dict.fromkeys(self.time_steps, 0)

    def __enter__(self) -> "FiringRate":
        self._handles = [n.register_forward_hook(self._count) for n in self.neurons]
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
        if neuron not in self._prefixed:
            if steps in self._behind:
                self._behind[steps] = spikes.sum() + self._behind[steps]
                self._chances[steps] += output.numel()
            return
        longest = max(self.time_steps)
        if steps < longest:
            raise UserError(f"a pass of {steps} steps has no firing rate at T={longest}")
        self._spikes = spikes[:longest] + (0 if self._spikes is None else self._spikes)
        self._neurons += output.numel() // steps

    def rates(self) -> dict[int, float]:
        """Mean firing rate at each T over all processes; NaN if nothing ran."""
        longest = max(self.time_steps)
        spikes = torch.zeros(longest).double() if self._spikes is None else self._spikes
        behind = [torch.as_tensor(v, device=spikes.device) for v in self._behind.values()]
        totals = torch.cat(
            [
                spikes,
                torch.stack(behind).double(),
                spikes.new_tensor([*self._chances.values(), self._neurons]),
            ]
        )
        all_reduce(totals)
        found, count = totals.tolist(), len(self.time_steps)
        per_step, later = found[:longest], found[longest : longest + count]
        *chances, neurons = found[longest + count :]
        rates = {}
        for t, more, could in zip(self.time_steps, later, chances, strict=True):
            all_chances = t * neurons + could
            rates[t] = (sum(per_step[:t]) + more) / all_chances if all_chances else float("nan")
        return rates
