r"""Spike counts as binary spikes: each time step of a student that fires integers becomes D slots.

A count C from 0 to D becomes D binary slots, of which the first C hold a spike. A convolution is
linear, so

.. math::
    W (s C) + b = \sum_{d=1}^{D} (W s)\,[C \ge d] + b

holds exactly. Each slot adds weights, and no weight is multiplied. The bias, BatchNorm and the
following layers apply once, after the sum (Luo et al., ECCV 2024). The scale s is folded into the
weights. At T = 1 the neuron itself consists of D thresholds, :math:`[X \ge s (d - 1/2)]`, without a
state and without a reset.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..neurons.counts import spikes_of
from ..neurons.spike_values import SpikeValue, SpikeValueTracker, record_inputs


class Slots(nn.Module):
    """Conversion of counts ``[N, ...]`` to ``[D * N, ...]`` slots of 0 and 1, the slots outermost.

    Example:
        >>> import torch
        >>> from sakd_dense.export import Slots
        >>> Slots(max_spikes=2)(torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([[0., 1., 1.],
                [0., 0., 1.]])
    """

    def __init__(self, max_spikes: int) -> None:
        super().__init__()
        self.max_spikes = max_spikes

    def forward(self, counts: Tensor) -> Tensor:
        return torch.cat([(counts >= d).to(counts.dtype) for d in range(1, self.max_spikes + 1)])


class OverSlots(nn.Module):
    """A convolution or a linear layer that reads binary slots.

    The input is that of the original layer, counts times their scale, ``[N, C, ...]``. The output
    is that of the original layer.

    Args:
        layer: ``nn.Conv2d`` or ``nn.Linear``; its weights are copied.
        value: scale and largest number of the spikes that the layer reads.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from sakd_dense.export import OverSlots
        >>> from sakd_dense.neurons.spike_values import SpikeValue
        >>> value = SpikeValue(torch.tensor(0.5), max_spikes=4, sources=frozenset(["sn1"]))
        >>> OverSlots(nn.Linear(1, 1, bias=False), value).slots.max_spikes
        4
    """

    def __init__(self, layer: nn.Module, value: SpikeValue) -> None:
        super().__init__()
        self.register_buffer("scale", value.scale)
        self.slots = Slots(value.max_spikes)
        self.layer = copy.deepcopy(layer)
        weight = layer.weight.detach()
        scale = value.scale.expand(weight.shape[1] * getattr(layer, "groups", 1))
        self.layer.weight = nn.Parameter(weight * _by_input(scale, weight, layer))
        self.layer.bias, self.bias = None, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(self.slots(spikes_of(x, self.scale)))
        out = out.unflatten(0, (self.slots.max_spikes, -1)).sum(0)
        if self.bias is None:
            return out
        return out + self.bias.view(-1, *(1,) * (out.dim() - 2))


def unroll(
    model: nn.Module, run: Callable[[nn.Module], Any]
) -> tuple[nn.Module, list[str], list[str]]:
    """Returns a copy of ``model`` whose layers read binary slots instead of counts.

    Args:
        model: a model in eval mode with neurons that fire integers (``NILIFNode``, ``ILIFNode``).
            Its BatchNorms must not be folded by :meth:`SpikingBackbone.fuse`.
        run: function that runs a forward pass of the model it receives. The pass shows the inputs
            of each layer.

    Returns:
        The copy, the names of the layers that read slots, and the names of the layers that still
        multiply because their inputs are not counts with one scale: the image, averages, an ANN's
        features.

    Example:
        >>> import torch
        >>> from sakd_dense import SpikingResNet
        >>> from sakd_dense.export import unroll
        >>> narrow = dict(base_channels=8, stem_channels=8)
        >>> counts = SpikingResNet(18, time_steps=1, neuron=dict(type="NILIFNode", D=4), **narrow)
        >>> binary, slots, multiply = unroll(counts.eval(), lambda m: m(torch.rand(1, 3, 64, 64)))
        >>> len(slots), multiply
        (19, ['conv1'])
    """
    model = copy.deepcopy(model).eval()
    with torch.no_grad(), record_inputs(model, SpikeValueTracker(model)) as read:
        run(model)
    unrolled, multiplying = [], []
    for name, values in read.items():
        known = [v for v in values if v is not None]
        if len(known) < len(values) or not all(_alike(v, known[0]) for v in known):
            multiplying.append(name)
            continue
        layer = model.get_submodule(name)
        _replace(model, layer, OverSlots(layer, known[0]))
        unrolled.append(name)
    return model, unrolled, multiplying


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    # In every parent, because levels of a pyramid may share a layer.
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)


def _by_input(scale: Tensor, weight: Tensor, layer: nn.Module) -> Tensor:
    """Expands the scale ``[C]`` of the input channels to the shape of the weight, by groups."""
    groups = getattr(layer, "groups", 1)
    by_group = scale.view(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
    return by_group.view(weight.shape[0], weight.shape[1], *(1,) * (weight.dim() - 2))


def _alike(a: SpikeValue, b: SpikeValue) -> bool:
    return a.max_spikes == b.max_spikes and torch.equal(a.scale, b.scale)


__all__ = ["OverSlots", "Slots", "unroll"]
