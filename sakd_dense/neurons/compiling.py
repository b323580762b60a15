"""Kernels by ``torch.compile``: how one is made, when making it pays, what runs without it."""

import inspect
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..runtime.compile_cache import check_instructions_once, is_marked, mark


class Payback:
    """Tells a model when compiling a kernel pays: when the time lost without it is what it costs.

    A kernel takes some 10 to 45 s to compile the first time on a machine, and a quarter of that
    from PyTorch's cache: a short run never compiles, a long one soon does, and sooner where a run
    before it has. What it saves, :func:`saving` tells.
    Every :class:`~.layer.Clock` has a count of its own, so that what a model costs does not depend
    on what ran before in the same process.

    Attributes:
        elements: after how many of them a kernel is due; set it on the class for all counts.
        cached: the share of ``elements`` after which a kernel is due that lies in the cache.
        broken: compiling has failed in this process; nothing is due any more (set on the class).

    Example:
        >>> from sakd_dense.neurons.compiling import Payback
        >>> payback = Payback()
        >>> payback.count(time_steps=4, elements=1e6)
        >>> payback.due(time_steps=4)
        False
    """

    elements: float = 4e9
    cached: float = 0.1
    broken: bool = False

    def __init__(self) -> None:
        self._kernels: dict[tuple[int, bool], _Kernel] = {}

    def count(self, time_steps: int, elements: float, neuron: str = "") -> None:
        """``elements`` more were run at this T, with or without gradients; see :func:`saving`.

        Args:
            time_steps: T.
            elements: of a layer of neurons.
            neuron: what else a kernel depends on: the neuron, dtype and device.
        """
        kernel = self._kernels.setdefault((time_steps, torch.is_grad_enabled()), _Kernel())
        kernel.seen += elements
        kernel.neurons.add(neuron)

    def due(self, time_steps: int) -> bool:
        """Whether the kernel of this T, with or without gradients, is to be compiled."""
        key = time_steps, torch.is_grad_enabled()
        kernel = self._kernels.setdefault(key, _Kernel())
        if self.broken or kernel.seen < self.elements * self.cached:
            return False
        if kernel.cached is None:
            kernel.cached = bool(kernel.neurons) and all(map(is_marked, kernel.names(*key)))
        if not kernel.cached and kernel.seen < self.elements:
            return False
        if kernel.begun and not kernel.cached:  # a pass has run compiled since
            for name in kernel.names(*key):
                mark(name)
            kernel.cached = True
        kernel.begun = True
        return True

    def state(self) -> list[tuple[int, bool, float, list[str], bool | None, bool]]:
        """Returns the counts of training for :meth:`resume`, as plain numbers and strings.

        A compiled pass gives the same spikes, and gradients that differ in their last digits: what
        ran without gradients changes nothing.
        """
        return [
            (*key, k.seen, sorted(k.neurons), k.cached, k.begun)
            for key, k in self._kernels.items()
            if key[1]
        ]

    def resume(self, state: Iterable[Sequence[Any]]) -> None:
        """A run that goes on compiles when the run that :meth:`state` is from would have."""
        for time_steps, gradients, seen, neurons, cached, begun in state:
            self._kernels[time_steps, gradients] = _Kernel(seen, set(neurons), cached, begun)


@dataclass
class _Kernel:
    """Record of a :class:`Payback` about the neurons of one T, with or without gradients."""

    seen: float = 0.0
    neurons: set[str] = field(default_factory=set)
    cached: bool | None = None
    begun: bool = False

    def names(self, time_steps: int, gradients: bool) -> list[str]:
        return [f"T={time_steps} gradients={gradients} {n}" for n in sorted(self.neurons)]


def saving(x: Tensor, integers: bool) -> float:
    """Returns the saving of the compiled pass on ``x``, in elements of 5 ns each; 0: no saving.

    On a CPU binary neurons save 5 ns an element, forward and backward, and neurons that fire
    integers three times that. On a GPU (H200, docs/notebook.md) a 700th of it, in half precision;
    in float32 SpikingJelly's kernels are as fast.

    Args:
        x: the input of a layer of neurons.
        integers: whether these fire integers.

    Example:
        >>> import torch
        >>> from sakd_dense.neurons.compiling import saving
        >>> x = torch.zeros(4, 8, 16, 16)
        >>> saving(x, integers=False), saving(x, integers=True)
        (8192.0, 24576.0)
    """
    elements = x.numel() * (3.0 if integers else 1.0)
    if x.device.type == "cpu":
        return elements
    half = x.dtype in (torch.float16, torch.bfloat16)
    return elements / 700 if x.device.type == "cuda" and half else 0.0


#: Variants of a kernel: T, dtype, layout, shortcut, whether channels differ.
RECOMPILE_LIMIT = 64


@cache
def _compiled(kernel: Callable[..., Any], dynamics: Hashable) -> Callable[..., Any]:
    def of_this_neuron(*args: Any) -> Any:
        return kernel(dynamics, *args)

    # PyTorch limits recompilations by code object. A copy for each kernel of each neuron: or else
    # a process that has seen many neurons compiles no more.
    of_this_neuron.__code__ = of_this_neuron.__code__.replace()
    # One kernel a T and dtype, for every N: images of many sizes compile nothing anew.
    extra: dict[str, Any] = {}
    if "recompile_limit" in inspect.signature(torch.compile).parameters:
        extra["recompile_limit"] = RECOMPILE_LIMIT
    else:  # before PyTorch 2.12; at its limit of 8 a kernel runs step by step and tells nobody
        config: Any = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)
    check_instructions_once()
    # Or else the first N ever seen says, for good, whether a kernel runs on one thread.
    if "cpp.dynamic_threads" in torch._inductor.list_options():
        extra["options"] = {"cpp.dynamic_threads": True}
    return torch.compile(of_this_neuron, dynamic=True, fullgraph=True, **extra)


def run(kernel: Callable[..., Any], dynamics: Hashable, compiled: bool, *args: Any) -> Any:
    """``kernel(dynamics, *args)``, by ``torch.compile`` where that works.

    Example:
        >>> import torch
        >>> from sakd_dense.neurons.compiling import run
        >>> run(lambda scale, x: scale * x, 2.0, False, torch.ones(2))  # not compiled
        tensor([2., 2.])
    """
    if compiled and not Payback.broken:
        try:
            return _compiled(kernel, dynamics)(*args)
        except Exception as error:  # no compiler, or one that fails: the same, step by step
            Payback.broken = True
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            warnings.warn(f"neurons run uncompiled, slower: {reason}", stacklevel=2)
    return kernel(dynamics, *args)


__all__ = ["Payback", "run", "saving"]
