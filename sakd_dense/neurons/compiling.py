"""Kernels of ``torch.compile``: their creation, and the fallback without them."""

from __future__ import annotations

import hashlib
import inspect
import platform
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..runtime.errors import first_line
from .spec import NeuronSpec

#: Largest number of variants of a kernel: T, dtype, layout, shortcut, whether channels differ.
RECOMPILE_LIMIT = 64
#: One kernel for every number of elements, on one thread or several.
OPTIONS = {"cpp.dynamic_threads": True}


class Fallback:
    """Record of the first error of ``torch.compile``, after which neurons run uncompiled.

    Attributes:
        reason: first line of the error; None while compiling works.
    """

    reason: str | None = None


def _as_text(spec: NeuronSpec) -> Callable[[], NeuronSpec]:
    """Returns a function that rebuilds ``spec`` with floats read from text.

    ``torch.compile`` makes an input of every float that it finds: a tensor that each call creates,
    and arithmetic that the compiler cannot simplify. A float that the traced code reads from text
    is a constant.
    """
    dynamics = spec.dynamics
    assert dynamics is not None  # only such layers run compiled
    values = {f.name: getattr(dynamics, f.name) for f in fields(dynamics)}
    texts = {name: repr(v) for name, v in values.items() if isinstance(v, float)}
    integers = tuple((n, v) for n, v in dynamics.parameters if not isinstance(v, float))
    parameters = tuple((n, repr(v)) for n, v in dynamics.parameters if isinstance(v, float))

    def rebuilt() -> NeuronSpec:
        floats: dict[str, Any] = {name: float(text) for name, text in texts.items()}
        floats["parameters"] = integers + tuple((name, float(text)) for name, text in parameters)
        return replace(spec, dynamics=replace(dynamics, **floats))

    return rebuilt


@cache
def _check_instructions_once() -> None:
    """Makes PyTorch check the vector instructions of this CPU in its first process alone.

    Each of up to three checks starts Python and imports PyTorch, in every process that compiles.
    PyTorch's own ``cpp.vec_isa_ok`` leaves out one of them. A mark beside PyTorch's compiled
    kernels says what worked.
    """
    from torch._inductor.cpu_vec_isa import VecISA
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    check = VecISA.check_build

    def check_build(self: Any, code: str) -> bool:
        fact = f"{platform.node()} {torch.__version__} {self.build_arch_flags()} {code}"
        mark = Path(cache_dir()) / f"sakd_dense-{hashlib.sha256(fact.encode()).hexdigest()[:16]}"
        works = mark.is_file() or check(self, code)
        if works:
            with suppress(OSError):
                mark.touch()
        return works

    VecISA.check_build = check_build


@cache
def _compiled(kernel: Callable[..., Any], spec: NeuronSpec) -> Callable[..., Any]:
    rebuilt = _as_text(spec)
    _check_instructions_once()

    def of_this_layer(*args: Any) -> Any:
        return kernel(rebuilt(), *args)

    # PyTorch limits recompilations by code object. Each kernel of each layer gets a copy, because
    # otherwise a process with many neurons would stop compiling.
    of_this_layer.__code__ = of_this_layer.__code__.replace()
    # One kernel per T and dtype, for every N: images of other sizes do not compile again.
    extra: dict[str, Any] = {}
    if "recompile_limit" in inspect.signature(torch.compile).parameters:
        extra["recompile_limit"] = RECOMPILE_LIMIT
    else:  # before PyTorch 2.12; at its limit of 8 a kernel silently runs step by step
        config: Any = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)
    known = torch._inductor.list_options()
    options = {name: value for name, value in OPTIONS.items() if name in known}
    return torch.compile(of_this_layer, dynamic=True, fullgraph=True, options=options, **extra)


def fma(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Returns ``a * b + c``, rounded once. Only compiled code may call it."""
    from torch._inductor.inductor_prims import fma as instruction

    return instruction(a, b, c)


def saving(x: Tensor, integers: bool) -> float:
    """Returns the time that the compiled pass saves on ``x``, in elements of 5 ns each.

    On a CPU, binary neurons save 5 ns an element, forward and backward. Neurons that fire integers
    save three times as much. On a GPU (H200, benchmarks/notebook) the saving is a 700th of this in
    half precision. In float32 it is 0, because SpikingJelly's kernels are as fast.

    Args:
        x: input of a layer of neurons.
        integers: whether the neurons fire integers.
    """
    elements = x.numel() * (3.0 if integers else 1.0)
    if x.device.type == "cpu":
        return elements
    half = x.dtype in (torch.float16, torch.bfloat16)
    return elements / 700 if x.device.type == "cuda" and half else 0.0


def run(kernel: Callable[..., Any], spec: NeuronSpec, compiled: bool, *args: Any) -> Any:
    """Returns ``kernel(spec, *args)``, compiled by ``torch.compile`` if that works."""
    if compiled and Fallback.reason is None:
        try:
            return _compiled(kernel, spec)(*args)
        except Exception as error:  # no compiler, or it fails: run step by step
            Fallback.reason = first_line(error)
            warnings.warn(f"neurons run uncompiled, slower: {Fallback.reason}", stacklevel=2)
    return kernel(spec, *args)


__all__ = ["Fallback", "run", "saving"]
