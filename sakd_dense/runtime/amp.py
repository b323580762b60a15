"""Mixed precision in bfloat16 on a CPU, where MMEngine's ``AmpOptimWrapper`` refuses to run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.autograd import Function

from .errors import UserError


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Optimizer wrapper that runs the forward under ``torch.autocast('cpu', torch.bfloat16)``.

    bfloat16 has float32's range, so no loss scale is needed. Gradient accumulation and clipping are
    those of ``OptimWrapper``. Weights, gradients and optimizer states stay float32. mmcv's
    operators (NMS, RoIAlign) compute in float32, since their CPU kernels do not support bfloat16.

    With PyTorch 2.12 on a CPU with AMX, a strided convolution of an image one pixel wide gets a
    wrong weight gradient in bfloat16, because oneDNN reads memory that it has not written
    (pytorch/pytorch#169688 is of the same kind). The last level of an FPN is such a convolution
    where the network's input is at most 64 pixels wide.

    Example:
        In a config: ``optim_wrapper=dict(type='CPUAmpOptimWrapper', optimizer=...)``; ``--amp`` of
        ``tools/train.py`` sets it.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast("cpu", torch.bfloat16):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        # With activation checkpointing, a block runs its forward again here.
        with mmcv_in_float32():
            super().backward(loss, **kwargs)


@contextmanager
def autocast(device_type: str, dtype: torch.dtype) -> Iterator[None]:
    """Enables ``torch.autocast``; with bfloat16, mmcv's operators compute in float32."""
    with torch.autocast(device_type, dtype):
        if dtype is torch.bfloat16:
            with mmcv_in_float32():
                yield
        else:
            yield


@contextmanager
def mmcv_in_float32() -> Iterator[None]:
    """Makes mmcv's operators accept and return bfloat16 in the block and compute in float32.

    The backward of these operators does the same, even if it runs after the block. Blocks may be
    nested. Entering and leaving one takes about 30 microseconds.
    """
    pairs = _operators()
    before = [(vars(kind)["forward"], kind._backward_cls) for kind, _ in pairs]
    for kind, twin in pairs:
        # ``kind.apply`` looks up the forward to call and the class of the graph's node, which
        # selects the backward. mmcv binds ``apply`` on import, so the twin cannot replace ``kind``.
        kind.forward, kind._backward_cls = vars(twin)["forward"], twin._backward_cls
    try:
        yield
    finally:
        for (kind, _), (forward, backward_cls) in zip(pairs, before, strict=True):
            kind.forward, kind._backward_cls = forward, backward_cls


@cache
def _operators() -> tuple[tuple[Any, Any], ...]:
    """Returns every autograd function of mmcv, with its subclass that computes in float32."""
    import mmcv.ops  # noqa: F401

    kinds = [k for k in Function.__subclasses__() if k.__module__.startswith("mmcv.ops.")]
    return tuple((kind, _twin(kind)) for kind in kinds if "forward" in vars(kind))


def _twin(kind: Any) -> Any:
    methods = {n: staticmethod(_in_float32(getattr(kind, n))) for n in ("forward", "backward")}
    return type(kind)(kind.__name__, (kind,), dict(methods, __module__=kind.__module__))


def _in_float32(run: Callable[..., Any]) -> Callable[..., Any]:
    # Inputs and outputs are bfloat16, computation is float32. Other values pass unchanged.
    def cast(value: Any, source: torch.dtype, target: torch.dtype) -> Any:
        is_source = isinstance(value, Tensor) and value.dtype == source
        return value.to(target) if is_source else value

    @wraps(run)
    def wrapped(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(a, Tensor) and a.dtype == torch.bfloat16 for a in args):
            return run(ctx, *args, **kwargs)
        args = tuple(cast(a, torch.bfloat16, torch.float32) for a in args)
        out = run(ctx, *args, **kwargs)
        if isinstance(out, tuple):
            return tuple(cast(o, torch.float32, torch.bfloat16) for o in out)
        return cast(out, torch.float32, torch.bfloat16)

    return wrapped


def with_amp(optim_wrapper: dict[str, Any]) -> dict[str, Any]:
    """Returns the config of an optimizer wrapper in mixed precision, for the available device.

    With a GPU, the type is ``AmpOptimWrapper``, otherwise :class:`CPUAmpOptimWrapper` without
    ``loss_scale`` and ``dtype``.

    Raises:
        UserError: the type of the wrapper has no mixed-precision twin.
    """
    kind = optim_wrapper.get("type", "OptimWrapper")
    name = str(getattr(kind, "__name__", kind)).split(".")[-1]  # a class in pure Python configs
    if name not in ("OptimWrapper", "AmpOptimWrapper", "CPUAmpOptimWrapper"):
        raise UserError(
            f"--amp: optim_wrapper.type={name!r} has no mixed-precision twin: use 'OptimWrapper', "
            "or leave --amp out"
        )
    if torch.cuda.is_available():
        return {**optim_wrapper, "type": "AmpOptimWrapper"}
    options = {k: v for k, v in optim_wrapper.items() if k not in ("loss_scale", "dtype")}
    return {**options, "type": "CPUAmpOptimWrapper"}


__all__ = ["CPUAmpOptimWrapper", "autocast", "mmcv_in_float32", "with_amp"]
