"""Temporary changes: attributes of objects, a module's forward, a process's random state."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Replaces ``module.forward`` with ``forward`` inside the block and restores it afterwards."""
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
def temporarily(objects: Iterable[Any], **values: Any) -> Iterator[None]:
    """Sets attributes of every object inside the block and restores them afterwards."""
    before = [(one, {name: getattr(one, name) for name in values}) for one in objects]
    try:
        for one, _ in before:
            for name, value in values.items():
                setattr(one, name, value)
        yield
    finally:
        for one, old in before:
            for name, value in old.items():
                setattr(one, name, value)


def outputs_as_in_training(module: nn.Module) -> AbstractContextManager[None]:
    """Sets ``module.training`` to True inside the block, without changing its children.

    Some modules return other outputs in training (FCOS boxes in units of strides, PIDNet more
    stages). Only their own flag controls these outputs. Their BatchNorm and dropout stay in eval.
    """
    return temporarily([module], training=True)


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Restores the random state (PyTorch, NumPy, ``random``) at the end of the block."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)


__all__ = ["outputs_as_in_training", "replaced_forward", "temporarily", "untouched_random_state"]
