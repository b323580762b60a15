"""What a run of MMEngine leaves in its process."""

import logging

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer


def _family(cls: type) -> list[type]:
    """A class and all below it: each keeps its own instances."""
    return [cls, *(c for sub in cls.__subclasses__() for c in _family(sub))]


def forget_runs() -> None:
    """Clears what MMEngine keeps for the life of the process: scope, loggers, message hubs."""
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()
    for manager in (DefaultScope, MessageHub, MMLogger, *_family(Visualizer)):
        manager._instance_dict.clear()
