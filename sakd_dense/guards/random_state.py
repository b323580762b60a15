"""Saving and restoring of a process's random state."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Returns the state of the generators of PyTorch (CPU and current GPU), NumPy and ``random``.

    The state consists only of tensors, numbers and strings, so a checkpoint with it loads safely.

    Returns:
        A dict with ``python``, ``numpy`` and ``torch``; with a GPU, also ``cuda``.
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
    """Restores the generators to a state that :func:`random_state` has returned."""
    version, python, gauss = state["python"]
    random.setstate((version, tuple(python.tolist()), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


__all__ = ["random_state", "set_random_state"]
