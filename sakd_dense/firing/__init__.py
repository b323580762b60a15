"""Spike counts and firing rates by layer and time step."""

from .counter import SpikeCounter, Spikes
from .hook import FiringRateHook

__all__ = ["FiringRateHook", "SpikeCounter", "Spikes"]
