"""Temporary changes: a module's forward or training flag, a process's random state."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
def outputs_as_in_training(module: nn.Module) -> Iterator[None]:
    """Sets ``module.training`` to True inside the block, without changing its children.

    Some modules return other outputs in training (FCOS boxes in units of strides, PIDNet more
    stages). Only their own flag controls these outputs. Their BatchNorm and dropout stay in eval.
    """
    before, module.training = module.training, True
    try:
        yield
    finally:
        module.training = before


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Restores the random state (PyTorch, NumPy, ``random``) at the end of the block."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)


__all__ = ["outputs_as_in_training", "replaced_forward", "untouched_random_state"]
