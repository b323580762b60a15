"""Counter of the spikes of every layer at every time step."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ..backbones.time_steps import check_time_steps, spiking_backbones
from ..neurons.layer import SpikingNeuron
from ..neurons.sequences import channels_last
from ..runtime.errors import UserError


@dataclass
class Spikes:
    """Spike counts of one or several layers of neurons over images.

    Attributes:
        spikes: number of spikes.
        neuron_steps: neurons times slots, summed over images. A slot holds one spike. A time step
            has one slot, or D slots if neurons fire integers up to D.
        silent: neurons that fire at none of the T time steps of an image, summed over images; NaN
            if they were not counted.
        neurons: number of neurons, summed over images.

    Example:
        >>> from sakd_dense.firing import Spikes
        >>> Spikes(spikes=30, neuron_steps=400, silent=70, neurons=100).rate
        0.075
    """

    spikes: float = 0
    neuron_steps: float = 0
    silent: float = 0
    neurons: float = 0

    def __add__(self, other: "Spikes") -> "Spikes":
        return Spikes(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def rate(self) -> float:
        """Firing rate: spikes per neuron and slot; NaN if nothing was counted."""
        return self.spikes / self.neuron_steps if self.neuron_steps else float("nan")

    @property
    def slots(self) -> float:
        """T x D, the most spikes that a neuron can fire in an image; the mean if neurons differ."""
        return self.neuron_steps / self.neurons if self.neurons else float("nan")

    @property
    def silence(self) -> float:
        """Share of the neurons that are silent throughout an image; NaN if not counted."""
        return self.silent / self.neurons if self.neurons else float("nan")


class _Passes:
    """Counts of one layer over all its passes of one length, on the layer's device."""

    def __init__(self, time_steps: int, slots: int, device: torch.device) -> None:
        self.slots = slots
        self.spikes = torch.zeros(time_steps, dtype=torch.float64, device=device)
        self.silent = torch.zeros((), dtype=torch.int64, device=device)
        self.neurons = 0


class SpikeCounter:
    """Counter of the spikes that the neurons of a model fire, by layer and time step.

    The counts stay on the device of the neurons until :attr:`layers` or :meth:`rates` reads them,
    so a pass does not wait for them.

    Args:
        model: model or backbone whose neurons are read.
        silence: whether to count the neurons that never fire as well, which reads every output
            once more. Default: False.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet
        >>> from sakd_dense.firing import SpikeCounter
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8, time_steps=4).eval()
        >>> counter = SpikeCounter(backbone)
        >>> with torch.no_grad(), counter.counting():
        ...     _ = backbone(torch.rand(1, 3, 64, 64))
        >>> sorted(counter.rates([1, 4])), len(counter.layers)
        ([1, 4], 20)
    """

    def __init__(self, model: nn.Module, silence: bool = False) -> None:
        self.silence = silence
        self._names = {m: n for n, m in model.named_modules() if isinstance(m, SpikingNeuron)}
        backbones = spiking_backbones(model).values()
        self._prefixed = {self._names[n] for b in backbones for n in b.neurons}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self.reset()

    def reset(self) -> None:
        """Discards all counts."""
        #: Counts by layer, in the order of the first call, and by the time steps of a pass.
        self._counts: dict[str, dict[int, _Passes]] = {}

    def start(self) -> None:
        """Starts counting, and keeps earlier counts."""
        self.stop()
        self._handles = [n.register_forward_hook(self._count) for n in self._names]

    def stop(self) -> None:
        """Stops counting; safe to call at any time."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts the spikes inside the ``with`` block."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    @torch.no_grad()
    def _count(self, neuron: SpikingNeuron, _args: tuple[Tensor, ...], output: Tensor) -> None:
        steps, slots = neuron.state.time_steps, neuron.max_spikes
        output = neuron.spikes_of(output)
        if output.dim() == 4 and channels_last(output):  # read in memory order, without a copy
            output = output.permute(0, 2, 3, 1)
        fired = output.detach().unflatten(0, (steps, -1)).flatten(2)
        # float32 sums integers exactly up to 2^24. Each sum is of one image at one time step.
        spikes = fired.sum(2, dtype=torch.float32).double().sum(1)
        passes = self._counts.setdefault(self._names[neuron], {})
        count = passes.setdefault(steps, _Passes(steps, slots, output.device))
        count.spikes += spikes
        count.neurons += output.numel() // steps
        if self.silence:
            count.silent += (~(fired.amax(0) > 0)).sum()

    @property
    def layers(self) -> dict[str, Spikes]:
        """Spikes by module name, in the order of the first call, over all passes.

        Returns:
            The :class:`Spikes` of every layer of neurons by the name of its module.
        """
        return {
            name: sum((self._spikes(t, count) for t, count in passes.items()), Spikes())
            for name, passes in self._counts.items()
        }

    def _spikes(self, time_steps: int, count: _Passes) -> Spikes:
        silent = count.silent.item() if self.silence else float("nan")
        slots = time_steps * count.slots * count.neurons
        return Spikes(count.spikes.sum().item(), slots, silent, count.neurons)

    def rates(self, time_steps: Iterable[int]) -> dict[int, float]:
        """Returns the firing rate of the model at each T, over all processes.

        The rate at T is the number of spikes in the first T time steps divided by the number of
        slots in them: the mean of spikes of 0 and 1, or of n / D for neurons that fire integers n
        up to D. The sums that ``connect='ADD'`` makes of spikes are not counted. Every neuron has
        the same weight, so a layer is weighted by its number of neurons.

        A backbone's pass at the largest T contains those at every smaller T. Spiking necks and
        heads run once for each T, on a sequence of that length, so each T has separate passes.

        Returns:
            Firing rates by T; NaN if nothing ran.

        Raises:
            UserError: ``time_steps`` are invalid, or a backbone ran fewer time steps than
                the largest of them.
        """
        steps = check_time_steps(time_steps)
        longest = max(steps)
        totals = torch.zeros(2, len(steps), dtype=torch.float64)
        for i, t in enumerate(steps):
            passes = list(self._passes_at(t, longest))
            totals[0, i] = sum(count.spikes[:t].sum() for count in passes)
            totals[1, i] = t * sum(count.slots * count.neurons for count in passes)
        all_reduce(totals)
        pairs = zip(*totals.tolist(), strict=True)
        return {
            t: spikes / neuron_steps if neuron_steps else float("nan")
            for t, (spikes, neuron_steps) in zip(steps, pairs, strict=True)
        }

    def _passes_at(self, t: int, longest: int) -> Iterator[_Passes]:
        for name, passes in self._counts.items():
            if name not in self._prefixed:
                yield from (count for steps, count in passes.items() if steps == t)
            elif min(passes) < longest:
                raise UserError(f"a pass of {min(passes)} steps has no firing rate at T={longest}")
            else:
                yield from passes.values()
