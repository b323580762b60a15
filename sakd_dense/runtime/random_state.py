"""Saving and restoring of a process's random state."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Restores the random state (PyTorch, NumPy, ``random``) at the end of the block.

    Example:
        >>> import torch
        >>> from sakd_dense.runtime.random_state import untouched_random_state
        >>> before = torch.get_rng_state()
        >>> with untouched_random_state():
        ...     _ = torch.rand(8)
        >>> torch.get_rng_state().equal(before)
        True
    """
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)


def random_state() -> dict[str, Any]:
    """Returns the state of the generators of PyTorch (CPU and current GPU), NumPy and ``random``.

    The state consists only of tensors, numbers and strings, so a checkpoint with it loads safely.

    Returns:
        A dict with ``python``, ``numpy`` and ``torch``; with a GPU, also ``cuda``.

    Example:
        >>> from sakd_dense.runtime.random_state import random_state
        >>> list(random_state())[:3]
        ['python', 'numpy', 'torch']
    """
    version, python, gauss = random.getstate()
    numpy: Any = np.random.get_state()
    name, keys, position, has_gauss, cached = numpy
    state: dict[str, Any] = {
        "python": (version, torch.tensor(python, dtype=torch.int64), gauss),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restores the generators to a state that :func:`random_state` has returned.

    Example:
        >>> import torch
        >>> from sakd_dense.runtime.random_state import random_state, set_random_state
        >>> state = random_state()
        >>> drawn = torch.rand(8)
        >>> set_random_state(state)
        >>> torch.rand(8).equal(drawn)
        True
    """
    version, python, gauss = state["python"]
    random.setstate((version, tuple(python.tolist()), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


__all__ = ["random_state", "set_random_state", "untouched_random_state"]
