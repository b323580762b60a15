"""Metrics at several numbers of time steps T from one backbone pass."""

from .loops import TimeStepTestLoop, TimeStepValLoop
from .reader import PrefixReader
from .result import SweepResult
from .sweeps import sweep, sweep_runner

__all__ = [
    "PrefixReader",
    "SweepResult",
    "TimeStepTestLoop",
    "TimeStepValLoop",
    "sweep",
    "sweep_runner",
]
