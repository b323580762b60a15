"""Value of one spike in a tensor: the scales of the neurons whose outputs the tensor holds.

A ``NILIFNode`` outputs its count times a scale, one scale per channel. The scale belongs to the
weights that read the output, so a layer receives whole numbers of spikes. This module recognises
each tensor that holds such an output by its memory, and also the results of max-pooling, sums and
concatenation.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from .counts import spikes_of
from .layer import SpikingNeuron

aten = torch.ops.aten
#: Operators whose outputs hold spikes if their first inputs do. Views are found by their memory.
_KEEP = (
    aten.max_pool2d_with_indices.default,
    aten.max_pool2d.default,
    aten.clone.default,
    aten._to_copy.default,
    aten.upsample_nearest2d.default,
    aten.upsample_nearest2d.vec,
)


#: Layers that multiply spikes by weights.
WEIGHTED = (nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class SpikeValue:
    """Value of the spikes in a tensor ``[N, C, ...]``.

    Attributes:
        scale: value of one spike, ``[C]`` or ``[]``.
        max_spikes: largest number of spikes.
        sources: names of the neurons that fired the spikes.
    """

    scale: Tensor
    max_spikes: int
    sources: frozenset[str]

    def spikes(self, x: Tensor) -> Tensor:
        """Converts ``x`` to numbers of spikes."""
        return spikes_of(x, self.scale)


class SpikeValueTracker:
    """Tracker of the :class:`SpikeValue` of the tensors in a forward, active in :meth:`watching`.

    Args:
        model: model to track. Neurons that fire integers, or have a scale, are tracked.
    """

    def __init__(self, model: nn.Module) -> None:
        self._names = {
            m: name
            for name, m in model.named_modules()
            if isinstance(m, SpikingNeuron) and (m.max_spikes > 1 or m.scale is not None)
        }
        #: Sources of every sum.
        self.sums: list[frozenset[str]] = []
        self._known: dict[int, tuple[StorageWeakRef, SpikeValue]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Tracks the outputs of the neurons inside the ``with`` block."""
        with ExitStack() as stack:
            for neuron in self._names:
                stack.callback(neuron.register_forward_hook(self._fired).remove)
            stack.callback(self._known.clear)
            if self._names:
                stack.enter_context(_Follow(self))
            yield

    def of(self, x: Any) -> SpikeValue | None:
        """Returns the :class:`SpikeValue` of a tensor; None if it holds no such spikes."""
        if not self._known or not isinstance(x, Tensor):
            return None
        reference, value = self._known.get(x.untyped_storage().data_ptr(), (None, None))
        # Freed memory may already hold another tensor.
        if reference is None or value is None or reference.expired():
            return None
        return _of_channels(value, x)

    def pass_on(self, func: Any, args: tuple, out: Any) -> None:
        """Records the :class:`SpikeValue` of ``out``, the result of ``func(*args)``."""
        if func in _KEEP:
            value = self.of(args[0])
        elif func is aten.add.Tensor:
            value = _of_sum(self.of(args[0]), self.of(args[1]))
            if value is not None:
                self.sums.append(value.sources)
        elif func is aten.cat.default and args[1:] == (1,):
            value = _side_by_side([(self.of(x), x.shape[1]) for x in args[0]])
        else:
            return
        if value is not None:
            self._set(out[0] if isinstance(out, tuple) else out, value)

    def _fired(self, neuron: SpikingNeuron, _args: Any, output: Tensor) -> None:
        scale = output.new_ones(()) if neuron.scale is None else neuron.scale.detach()
        self._set(output, SpikeValue(scale, neuron.max_spikes, frozenset([self._names[neuron]])))

    def _set(self, x: Tensor, value: SpikeValue) -> None:
        storage = x.untyped_storage()
        self._known[storage.data_ptr()] = StorageWeakRef(storage), value


class _Follow(TorchDispatchMode):
    def __init__(self, tracker: SpikeValueTracker) -> None:
        super().__init__()
        self._tracker = tracker

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._tracker.pass_on(func, args, out)
        return out


def _of_channels(value: SpikeValue, x: Tensor) -> SpikeValue:
    """Returns the value of ``x``, which may view only some channels (ShuffleNetV2 splits them)."""
    if value.scale.dim() == 0 or x.dim() != 4 or x.shape[1] >= len(value.scale):
        return value
    start = x.storage_offset() % x.stride(0) // x.stride(1)
    return replace(value, scale=value.scale[start : start + x.shape[1]])


def _of_sum(a: SpikeValue | None, b: SpikeValue | None) -> SpikeValue | None:
    """Returns the value of a sum: spikes of equal scales keep the scale, others have no value."""
    if a is None or b is None or not torch.equal(a.scale, b.scale):
        return None
    return SpikeValue(a.scale, a.max_spikes + b.max_spikes, a.sources | b.sources)


def _side_by_side(parts: list[tuple[SpikeValue | None, int]]) -> SpikeValue | None:
    known = [(value, channels) for value, channels in parts if value is not None]
    if len(known) < len(parts):
        return None
    scales = torch.cat([value.scale.expand(channels) for value, channels in known])
    sources = frozenset().union(*(value.sources for value, _ in known))
    return SpikeValue(scales, max(value.max_spikes for value, _ in known), sources)


@contextmanager
def record_inputs(
    model: nn.Module, tracker: SpikeValueTracker
) -> Iterator[dict[str, list[SpikeValue | None]]]:
    """Records the :class:`SpikeValue` of the inputs of every layer with weights, inside the block.

    The dict maps the name of each layer to a list with one entry per call. An entry is None if the
    input holds no spikes of the tracked neurons.
    """
    seen: dict[str, list[SpikeValue | None]] = {}
    with ExitStack() as stack:
        for name, layer in model.named_modules():
            if isinstance(layer, WEIGHTED):

                def record(_layer: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                    seen.setdefault(name, []).append(tracker.of(args[0]))

                stack.callback(layer.register_forward_pre_hook(record).remove)
        stack.enter_context(tracker.watching())
        yield seen


__all__ = ["WEIGHTED", "SpikeValue", "SpikeValueTracker", "record_inputs"]
