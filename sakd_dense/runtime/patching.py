"""A module's forward, replaced for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """``module.forward`` is ``forward`` inside the block, and what it was before after it.

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
    """``module.training`` is true inside the block, that of its children what it was.

    Some modules give something else while training (FCOS boxes in strides, PIDNet more stages).
    Their own flag alone decides that; their BatchNorm and dropout stay in eval.

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
