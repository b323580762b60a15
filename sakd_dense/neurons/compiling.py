"""Kernels of ``torch.compile``: their creation, when it pays, and the fallback without them."""

import inspect
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .compile_cache import check_instructions_once, is_marked, mark


class Payback:
    """Counter that decides when compiling a kernel pays.

    Compiling pays once the time lost without the kernel equals the time of compiling it. A kernel
    takes some 10 to 45 s to compile the first time on a machine, and a quarter of that from
    PyTorch's cache. A short run therefore never compiles. A long run soon does, and sooner if an
    earlier run has compiled. :func:`saving` returns the time that a kernel saves. Every
    :class:`~.layer.Clock` has its own counter, so that the cost of a model does not depend on
    earlier models in the same process.

    Attributes:
        elements: Number of elements after which a kernel is due. Set it on the class to change it
            for all counters.
        cached: Share of ``elements`` after which a kernel in the cache is due.
        broken: Whether compiling has failed in this process, after which no kernel is due. It is
            set on the class.
    """

    elements: float = 4e9
    cached: float = 0.1
    broken: bool = False

    def __init__(self) -> None:
        self._kernels: dict[tuple[int, bool], _Kernel] = {}

    def count(self, time_steps: int, elements: float, neuron: str = "") -> None:
        """Adds ``elements`` to the count of this T, with or without gradients.

        Args:
            time_steps: Number of time steps T.
            elements: Elements of a layer of neurons, as :func:`saving` returns them.
            neuron: The neuron, dtype and device, on which a kernel depends as well.
        """
        kernel = self._kernels.setdefault((time_steps, torch.is_grad_enabled()), _Kernel())
        kernel.seen += elements
        kernel.neurons.add(neuron)

    def due(self, time_steps: int) -> bool:
        """Returns whether to compile the kernel of this T, with or without gradients."""
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

        Counts without gradients are left out. A compiled pass gives the same spikes and differs
        only in the last digits of the gradients, so these counts do not affect results.
        """
        return [
            (*key, k.seen, sorted(k.neurons), k.cached, k.begun)
            for key, k in self._kernels.items()
            if key[1]
        ]

    def resume(self, state: Iterable[Sequence[Any]]) -> None:
        """Restores :meth:`state`, so that a resumed run compiles when the first would have."""
        for time_steps, gradients, seen, neurons, cached, begun in state:
            self._kernels[time_steps, gradients] = _Kernel(seen, set(neurons), cached, begun)


@dataclass
class _Kernel:
    """Record of a :class:`Payback` for the neurons at one T, with or without gradients."""

    seen: float = 0.0
    neurons: set[str] = field(default_factory=set)
    cached: bool | None = None
    begun: bool = False

    def names(self, time_steps: int, gradients: bool) -> list[str]:
        return [f"T={time_steps} gradients={gradients} {n}" for n in sorted(self.neurons)]


def saving(x: Tensor, integers: bool) -> float:
    """Returns the time that the compiled pass saves on ``x``, in elements of 5 ns each.

    On a CPU, binary neurons save 5 ns an element, forward and backward. Neurons that fire integers
    save three times as much. On a GPU (H200, docs/notebook.md) the saving is a 700th of this in
    half precision. In float32 it is 0, because SpikingJelly's kernels are as fast.

    Args:
        x: Input of a layer of neurons.
        integers: Whether the neurons fire integers.
    """
    elements = x.numel() * (3.0 if integers else 1.0)
    if x.device.type == "cpu":
        return elements
    half = x.dtype in (torch.float16, torch.bfloat16)
    return elements / 700 if x.device.type == "cuda" and half else 0.0


#: Largest number of variants of a kernel: T, dtype, layout, shortcut, whether channels differ.
RECOMPILE_LIMIT = 64


@cache
def _compiled(kernel: Callable[..., Any], dynamics: Hashable) -> Callable[..., Any]:
    def of_this_neuron(*args: Any) -> Any:
        return kernel(dynamics, *args)

    # PyTorch limits recompilations by code object. Each kernel of each neuron gets a copy, because
    # otherwise a process with many neurons would stop compiling.
    of_this_neuron.__code__ = of_this_neuron.__code__.replace()
    # One kernel per T and dtype, for every N: images of other sizes do not compile again.
    extra: dict[str, Any] = {}
    if "recompile_limit" in inspect.signature(torch.compile).parameters:
        extra["recompile_limit"] = RECOMPILE_LIMIT
    else:  # before PyTorch 2.12; at its limit of 8 a kernel silently runs step by step
        config: Any = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)
    check_instructions_once()
    # Otherwise the first N decides permanently whether a kernel runs on one thread.
    if "cpp.dynamic_threads" in torch._inductor.list_options():
        extra["options"] = {"cpp.dynamic_threads": True}
    return torch.compile(of_this_neuron, dynamic=True, fullgraph=True, **extra)


def _with_constants(kernel: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Returns ``kernel(*args)``; if that compiles it, the neuron's floats become constants.

    By default every float becomes an input: a tensor that each call creates, and arithmetic that
    the compiler cannot simplify. There is no option of ``torch.compile`` for it.
    """
    config: Any = torch._dynamo.config
    before = config.specialize_float
    config.specialize_float = True
    try:
        return kernel(*args)
    finally:
        config.specialize_float = before


def run(kernel: Callable[..., Any], dynamics: Hashable, compiled: bool, *args: Any) -> Any:
    """Returns ``kernel(dynamics, *args)``, compiled by ``torch.compile`` if that works."""
    if compiled and not Payback.broken:
        try:
            return _with_constants(_compiled(kernel, dynamics), args)
        except Exception as error:  # no compiler, or it fails: run step by step
            Payback.broken = True
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            warnings.warn(f"neurons run uncompiled, slower: {reason}", stacklevel=2)
    return kernel(dynamics, *args)


__all__ = ["Payback", "run", "saving"]
