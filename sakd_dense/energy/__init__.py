"""Firing rates, synaptic operations and energy, layer by layer."""

from .conventions import CONVENTIONS, COSTS, cost_of
from .counter import LayerCounter, Operations
from .hook import FiringRateHook
from .measure import Layer, Reading, measure, memory_energy
from .report import EnergyReport
from .spikes import SpikeCounter, Spikes
from .study import study

__all__ = [
    "CONVENTIONS",
    "COSTS",
    "EnergyReport",
    "FiringRateHook",
    "Layer",
    "LayerCounter",
    "Operations",
    "Reading",
    "SpikeCounter",
    "Spikes",
    "cost_of",
    "measure",
    "memory_energy",
    "study",
]
