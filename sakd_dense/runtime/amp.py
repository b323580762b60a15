"""Mixed precision where MMEngine's ``AmpOptimWrapper`` refuses to run: bfloat16 on a CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn
from torch.autograd import Function

from .errors import UserError

_KEPT: set[type[Function]] = set()  # mmcv's operators that run in float32 already


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """The forward under ``torch.autocast('cpu', torch.bfloat16)``.

    bfloat16 has float32's range, so no loss scale is needed and gradient accumulation and
    clipping are those of ``OptimWrapper``. Weights, gradients and optimizer states stay float32,
    and so do mmcv's operators (NMS, RoIAlign): their CPU kernels know no bfloat16.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keep_mmcv_in_float32()

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


def keep_mmcv_in_float32() -> None:
    """From now on, mmcv's operators turn bfloat16 into float32, and what they give back again."""
    import mmcv.ops  # noqa: F401

    for kind in Function.__subclasses__():
        if kind.__module__.startswith("mmcv.ops.") and kind not in _KEPT:
            _KEPT.add(kind)
            kind.forward = staticmethod(_in_float32(kind.forward))
            kind.backward = staticmethod(_in_float32(kind.backward))


def _in_float32(run: Callable[..., Any]) -> Callable[..., Any]:
    # bfloat16 in, bfloat16 out, float32 between; what is not bfloat16 passes as it is.
    def cast(value: Any, source: torch.dtype, target: torch.dtype) -> Any:
        known = isinstance(value, torch.Tensor) and value.dtype == source
        return value.to(target) if known else value

    @wraps(run)
    def wrapped(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(a, torch.Tensor) and a.dtype == torch.bfloat16 for a in args):
            return run(ctx, *args, **kwargs)
        args = [cast(a, torch.bfloat16, torch.float32) for a in args]
        out = run(ctx, *args, **kwargs)
        if isinstance(out, tuple):
            return tuple(cast(o, torch.float32, torch.bfloat16) for o in out)
        return cast(out, torch.float32, torch.bfloat16)

    return wrapped


def with_amp(optim_wrapper: dict[str, Any]) -> dict[str, Any]:
    """The config of an optimizer wrapper in mixed precision, for the device at hand.

    Raises:
        UserError: if the wrapper is of a type that cannot be turned.
    """
    kind = optim_wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", "AmpOptimWrapper", "CPUAmpOptimWrapper"):
        raise UserError(f"--amp: optim_wrapper.type={kind!r} has no mixed-precision twin")
    if torch.cuda.is_available():
        return {**optim_wrapper, "type": "AmpOptimWrapper"}
    kept = {k: v for k, v in optim_wrapper.items() if k not in ("loss_scale", "dtype")}
    return {**kept, "type": "CPUAmpOptimWrapper"}
