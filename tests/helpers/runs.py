"""What a run leaves in its process."""

import logging

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from sakd_dense.transfer import read


def _family(cls: type) -> list[type]:
    """A class and all below it: each keeps its own instances."""
    return [cls, *(c for sub in cls.__subclasses__() for c in _family(sub))]


def forget_runs() -> None:
    """Clears what is kept for the life of a process: scope, loggers, message hubs, checkpoints.

    A tool hands a checkpoint on to the run; a test that replaces the run leaves it there.
    """
    read._verified.clear()
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()
    for manager in (DefaultScope, MessageHub, MMLogger, *_family(Visualizer)):
        manager._instance_dict.clear()
