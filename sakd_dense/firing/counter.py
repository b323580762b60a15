"""How often the neurons of every layer fire, and how many of them never do."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..neurons.layer import SpikingNeuron


@dataclass
class Spikes:
    """Of one layer of neurons, or of several, over images.

    Attributes:
        spikes: how many.
        chances: neurons times time steps times images.
        silent: neurons without a spike in all T steps of an image, summed over images.
        neurons: how many there were, summed over images.
    """

    spikes: float = 0
    chances: float = 0
    silent: float = 0
    neurons: float = 0

    def __add__(self, other: "Spikes") -> "Spikes":
        return Spikes(
            self.spikes + other.spikes,
            self.chances + other.chances,
            self.silent + other.silent,
            self.neurons + other.neurons,
        )

    @property
    def rate(self) -> float:
        """Spikes a neuron and time step."""
        return self.spikes / self.chances if self.chances else float("nan")

    @property
    def silence(self) -> float:
        """Share of the neurons that are silent throughout an image."""
        return self.silent / self.neurons if self.neurons else float("nan")


class SpikeCounter:
    """Counts what the neurons of a model put out.

    Attributes:
        layers: :class:`Spikes` by module name, in the order of their first call.
    """

    def __init__(self, model: nn.Module) -> None:
        self._names = {m: n for n, m in model.named_modules() if isinstance(m, SpikingNeuron)}
        self.layers: dict[str, Spikes] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts inside the block."""
        with ExitStack() as stack:
            for neuron in self._names:
                stack.callback(neuron.register_forward_hook(self._count).remove)
            yield

    @torch.no_grad()
    def _count(self, neuron: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
        fired = output.unflatten(0, (neuron.clock.time_steps, -1))
        ever = fired.amax(0) > 0
        found = Spikes(
            fired.sum(dtype=torch.float64).item(),
            fired.numel(),
            (~ever).sum().item(),
            ever.numel(),
        )
        name = self._names[neuron]
        self.layers[name] = self.layers.get(name, Spikes()) + found
