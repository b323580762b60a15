"""Operations and spikes of a model on real images, at several T."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

from ..backbones.time_steps import at_time_steps
from ..firing.counter import SpikeCounter, Spikes
from ..neurons.layer import SpikingNeuron
from ..runtime.patching import temporarily
from .counter import LayerCounter, Operations


@dataclass
class Layer:
    """Operations per image of a layer, or the spikes over all images of a layer of neurons.

    Example:
        >>> from sakd_dense.energy import Layer, Operations
        >>> (Layer(Operations(dense=2.0)) + Layer(Operations(dense=3.0))).operations.dense
        5.0
    """

    operations: Operations = field(default_factory=Operations)
    spikes: Spikes = field(default_factory=Spikes)

    def __add__(self, other: "Layer") -> "Layer":
        return Layer(self.operations + other.operations, self.spikes + other.spikes)


@dataclass
class Reading:
    """Operations and spikes of a model at one T.

    Attributes:
        layers: :class:`Layer` by module name, in the order of registration.
        images: number of images.
        estimates: mJ per image by estimator and part, see
            :func:`sakd_dense.energy.estimators.estimate`; empty if no estimator ran.

    Example:
        >>> from sakd_dense.energy import Layer, Operations, Reading
        >>> layers = {"backbone.conv1": Layer(Operations(dense=4.0)), "neck.conv": Layer()}
        >>> reading = Reading(layers, images=1)
        >>> reading.parts(), reading.total("backbone").operations.dense
        (['backbone', 'neck'], 4.0)
    """

    layers: dict[str, Layer]
    images: int
    estimates: dict[str, dict[str, float]] = field(default_factory=dict)

    def parts(self) -> list[str]:
        """Returns the names of the model's children: backbone, neck, head ..."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self.layers))

    def total(self, part: str | None = None) -> Layer:
        """Returns the sum over one of :meth:`parts`, or over all layers if ``part`` is None."""
        chosen = (v for n, v in self.layers.items() if part in (None, n.partition(".")[0]))
        return sum(chosen, Layer())


@torch.no_grad()
def measure(model: BaseModel, batches: Sequence[Any], time_steps: int | None = None) -> Reading:
    """Counts the operations and spikes of one pass over ``batches``.

    Args:
        model: the model in eval mode, run by its ``test_step``.
        batches: batches as a dataloader yields them.
        time_steps: number of time steps T to set on the spiking backbone; None keeps its current T.

    Example:
        >>> import torch
        >>> from sakd_dense.config import load_config
        >>> from sakd_dense.energy import measure
        >>> from sakd_dense.loading import build_for_test
        >>> model = build_for_test(load_config("sakd_dense::sew18_sakd_digits.py"), None)
        >>> reading = measure(model, [dict(inputs=[torch.zeros(3, 40, 40)])], time_steps=1)
        >>> reading.images, reading.parts()
        (1, ['backbone', 'head'])
    """
    operations, spikes = LayerCounter(model), SpikeCounter(model, silence=True)
    images = 0
    with at_time_steps(model, time_steps), plain_neurons(model), spikes.counting():
        for batch in batches:
            with operations.counting():
                images += len(model.test_step(batch))
    operations_of, spikes_of = operations.layers, spikes.layers
    layers = {}
    for name, _ in model.named_modules():
        if name in operations_of or name in spikes_of:
            per_image = operations_of.get(name, Operations()) / max(images, 1)
            layers[name] = Layer(per_image, spikes_of.get(name, Spikes()))
    return Reading(layers, images)


def plain_neurons(model: nn.Module) -> AbstractContextManager[None]:
    """Runs SpikingJelly's own neurons in the block: counters cannot see into compiled code."""
    neurons = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
    return temporarily(neurons, backend="spikingjelly")
