"""Kernels by ``torch.compile``: how one is made, when making it pays, what runs without it."""

import inspect
import warnings
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import torch
from torch import Tensor


class Payback:
    """Tells a model when compiling a kernel pays: when the time lost without it is what it costs.

    A kernel takes some 10 to 25 s to compile the first time (2 s from PyTorch's cache): a short run
    never compiles, a long one soon does. What it saves, :func:`saving` tells.
    Every :class:`~.layer.Clock` has a count of its own, so that what a model costs does not depend
    on what ran before in the same process.

    Attributes:
        elements: after how many of them a kernel is due; set it on the class for all counts.
        broken: compiling has failed in this process; nothing is due any more (set on the class).
    """

    elements: float = 4e9
    broken: bool = False

    def __init__(self) -> None:
        self._seen: dict[tuple[int, bool], float] = {}

    def count(self, time_steps: int, elements: float) -> None:
        """``elements`` more were run at this T, with or without gradients; see :func:`saving`."""
        kernel = time_steps, torch.is_grad_enabled()
        self._seen[kernel] = self._seen.get(kernel, 0) + elements

    def due(self, time_steps: int) -> bool:
        """Whether the kernel of this T, with or without gradients, is to be compiled."""
        kernel = time_steps, torch.is_grad_enabled()
        return not self.broken and self._seen.get(kernel, 0) >= self.elements


def saving(x: Tensor, integers: bool) -> float:
    """What the compiled pass saves on ``x``, in elements of 5 ns each; 0: it is no faster there.

    On a CPU binary neurons save 5 ns an element, forward and backward, and neurons that fire
    integers three times that. On a GPU (H200, docs/results.md) a 700th of it, in half precision; in
    float32 SpikingJelly's kernels are as fast.

    Args:
        x: the input of a layer of neurons.
        integers: whether these fire integers.
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


__all__ = ["Payback", "run", "saving"]
