"""Metrics at several numbers of time steps T from one backbone pass."""

from ..backbones.time_steps import check_time_steps, find_spiking_backbone
from .count_grid import CountGrid, grid
from .loops import TimeStepTestLoop, TimeStepValLoop
from .reader import PrefixReader
from .result import SweepResult
from .sweeps import sweep

__all__ = [
    "CountGrid",
    "PrefixReader",
    "SweepResult",
    "TimeStepTestLoop",
    "TimeStepValLoop",
    "check_time_steps",
    "find_spiking_backbone",
    "grid",
    "sweep",
]
