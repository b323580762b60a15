"""Temporary changes of a module: its forward or its training flag."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Replaces ``module.forward`` with ``forward`` inside the block and restores it afterwards.

    Example:
        >>> from torch import nn
        >>> from sakd_dense.runtime.patching import replaced_forward
        >>> layer = nn.Identity()
        >>> with replaced_forward(layer, lambda x: x + 1):
        ...     layer(1)
        2
        >>> layer(1)
        1
    """
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.forward = before


@contextmanager
def outputs_as_in_training(module: nn.Module) -> Iterator[None]:
    """Sets ``module.training`` to True inside the block, without changing its children.

    Some modules return other outputs in training (FCOS boxes in units of strides, PIDNet more
    stages). Only their own flag controls these outputs. Their BatchNorm and dropout stay in eval.

    Example:
        >>> from torch import nn
        >>> from sakd_dense.runtime.patching import outputs_as_in_training
        >>> head = nn.Sequential(nn.BatchNorm2d(8)).eval()
        >>> with outputs_as_in_training(head):
        ...     head.training, head[0].training
        (True, False)
    """
    before, module.training = module.training, True
    try:
        yield
    finally:
        module.training = before


__all__ = ["outputs_as_in_training", "replaced_forward"]
