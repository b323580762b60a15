"""Mixed precision where MMEngine's ``AmpOptimWrapper`` refuses to run: bfloat16 on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """The forward under ``torch.autocast('cpu', torch.bfloat16)``.

    bfloat16 has float32's range, so no loss scale is needed and gradient accumulation and
    clipping are those of ``OptimWrapper``. Weights, gradients and optimizer states stay float32.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast("cpu", dtype=torch.bfloat16):
            yield


def with_amp(optim_wrapper: dict[str, Any]) -> dict[str, Any]:
    """The config of an optimizer wrapper in mixed precision, for the device at hand.

    Raises:
        ValueError: if the wrapper is of a type that cannot be turned.
    """
    kind = optim_wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", "AmpOptimWrapper", "CPUAmpOptimWrapper"):
        raise ValueError(f"--amp: optim_wrapper.type={kind!r} has no mixed-precision twin")
    if torch.cuda.is_available():
        return {**optim_wrapper, "type": "AmpOptimWrapper"}
    kept = {k: v for k, v in optim_wrapper.items() if k not in ("loss_scale", "dtype")}
    return {**kept, "type": "CPUAmpOptimWrapper"}
