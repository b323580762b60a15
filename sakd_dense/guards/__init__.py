"""Protection of a run against faults of files, data and processes."""

from .broken_images import BrokenImageHook
from .checkpoint_hook import WholeCheckpointHook
from .finite import FiniteLossHook
from .known_classes import KnownClassesHook
from .run import guard_run

__all__ = [
    "BrokenImageHook",
    "FiniteLossHook",
    "KnownClassesHook",
    "WholeCheckpointHook",
    "guard_run",
]
