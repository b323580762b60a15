"""What every test gets: a fixed seed, and no state of MMEngine left over by the test before."""

import logging

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

# Tensors are tiny here: threads only wait for each other, the more so beside other work.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


def family(cls: type) -> list[type]:
    """A class and all below it: each keeps its own instances."""
    return [cls, *(c for sub in cls.__subclasses__() for c in family(sub))]


@pytest.fixture(autouse=True)
def clean_mmengine():
    """MMEngine keeps the scope, loggers and message hubs of a run for the life of the process."""
    yield
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()
    for manager in (DefaultScope, MessageHub, MMLogger, *family(Visualizer)):
        manager._instance_dict.clear()
