"""Spikes counted, by layer and time step."""

from .counter import SpikeCounter, Spikes
from .hook import FiringRateHook
from .rates import FiringRate

__all__ = ["FiringRate", "FiringRateHook", "SpikeCounter", "Spikes"]
