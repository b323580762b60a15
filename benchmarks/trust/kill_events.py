"""Events at which a process kills itself, at a chosen moment of a run."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner, ValLoop

from sakd_dense.guards import checkpoint_hook


def die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _half(self: Any, obj: bytes, filepath: str | Path) -> None:
    with open(filepath, "wb") as file:
        file.write(obj[: len(obj) // 2])
        file.flush()
        die()


def _in_second_checkpoint() -> None:
    put, seen = LocalBackend.put, []

    def write(self: Any, obj: bytes, filepath: str | Path) -> None:
        seen.append(filepath)
        # An epoch writes the last, the best and the last again: the fourth is of the second epoch.
        (_half if len(seen) > 3 else put)(self, obj, filepath)

    LocalBackend.put = write


def _at(owner: Any, name: str, call: int, after: bool = False) -> Callable[[], None]:
    def arm() -> None:
        real = getattr(owner, name)
        seen: list[None] = []

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(None)
            if len(seen) == call and not after:
                die()
            result = real(self, *args, **kwargs)
            if len(seen) == call:
                die()
            return result

        setattr(owner, name, method)

    return arm


EVENTS: dict[str, Callable[[], None]] = {
    "level-1": _at(Runner, "_init_model_weights", 1, after=True),
    "first-iteration": _at(EpochBasedTrainLoop, "run_iter", 1),
    "mid-epoch": _at(EpochBasedTrainLoop, "run_iter", 7),
    "half-a-checkpoint": _in_second_checkpoint,
    "old-not-removed": lambda: setattr(checkpoint_hook, "_remove", die),
    "validation": _at(ValLoop, "run_iter", 2),
    "last-validation": _at(ValLoop, "run_iter", 3),
    "best-checkpoint": _at(CheckpointHook, "_save_best_checkpoint", 2),
}


def arm(event: str) -> None:
    """Makes this process die at ``event``."""
    EVENTS[event]()
