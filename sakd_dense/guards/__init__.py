"""Protection of a run against faults of files, data and processes, and its freed memory."""

from .broken_images import BrokenImageHook
from .checkpoint_hook import WholeCheckpointHook
from .finite import FiniteLossHook
from .heap import FreedMemoryHook
from .known_classes import KnownClassesHook
from .run import guard_run

__all__ = [
    "BrokenImageHook",
    "FiniteLossHook",
    "FreedMemoryHook",
    "KnownClassesHook",
    "WholeCheckpointHook",
    "guard_run",
]
