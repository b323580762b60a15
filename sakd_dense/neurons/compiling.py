"""Kernels by ``torch.compile``: how one is made, when making it pays, what runs without it."""

import inspect
import warnings
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import torch


class Payback:
    """Tells a model when compiling a kernel pays: when the time lost without it is what it costs.

    A kernel takes some 10 to 25 s to compile the first time (2 s from PyTorch's cache), and saves
    about 5 ns an element, forward and backward, and three times that where neurons fire integers:
    a short run never compiles, a long one soon does.
    Every :class:`~.layer.Clock` has a count of its own, so that what a model costs does not depend
    on what ran before in the same process.

    Attributes:
        elements: after how many of them a kernel is due; set it on the class for all counts.
        broken: compiling has failed in this process; nothing is due any more (set on the class).
    """

    elements: float = 4e9
    broken: bool = False

    def __init__(self) -> None:
        self._seen: dict[tuple[int, bool], int] = {}

    def count(self, time_steps: int, elements: int, integers: bool = False) -> None:
        """``elements`` more were run at this T, with or without gradients.

        Args:
            time_steps: T.
            elements: of the input of a layer of neurons.
            integers: whether these fire integers.
        """
        kernel = time_steps, torch.is_grad_enabled()
        self._seen[kernel] = self._seen.get(kernel, 0) + elements * (3 if integers else 1)

    def due(self, time_steps: int) -> bool:
        """Whether the kernel of this T, with or without gradients, is to be compiled."""
        kernel = time_steps, torch.is_grad_enabled()
        return not self.broken and self._seen.get(kernel, 0) >= self.elements


@cache
def _compiled(kernel: Callable[..., Any], dynamics: Hashable) -> Callable[..., Any]:
    def of_this_neuron(*args: Any) -> Any:
        return kernel(dynamics, *args)

    # PyTorch limits recompilations by code object. A copy for each kernel of each neuron: or else
    # a process that has seen many neurons compiles no more.
    of_this_neuron.__code__ = of_this_neuron.__code__.replace()
    # One kernel a T and dtype, for every N: images of many sizes compile nothing anew.
    limit = inspect.signature(torch.compile).parameters.get("recompile_limit")
    extra: dict[str, Any] = {} if limit is None else dict(recompile_limit=64)
    # Or else the first N ever seen says, for good, whether a kernel runs on one thread.
    if "cpp.dynamic_threads" in torch._inductor.list_options():
        extra["options"] = {"cpp.dynamic_threads": True}
    return torch.compile(of_this_neuron, dynamic=True, fullgraph=True, **extra)


def run(kernel: Callable[..., Any], dynamics: Hashable, compiled: bool, *args: Any) -> Any:
    """``kernel(dynamics, *args)``, by ``torch.compile`` where that works."""
    if compiled and not Payback.broken:
        try:
            return _compiled(kernel, dynamics)(*args)
        except Exception as error:  # no compiler, or one that fails: the same, step by step
            Payback.broken = True
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            warnings.warn(f"neurons run uncompiled, slower: {reason}", stacklevel=2)
    return kernel(dynamics, *args)


__all__ = ["Payback", "run"]
