"""Firing rates, synaptic operations and energy, layer by layer."""

from .conventions import CONVENTIONS, COSTS, cost_of
from .counter import LayerCounter, Operations
from .estimators import ESTIMATORS, estimate
from .hook import FiringRateHook
from .measure import Layer, Reading, measure
from .report import EnergyReport
from .spikes import SpikeCounter, Spikes
from .study import study

__all__ = [
    "CONVENTIONS",
    "COSTS",
    "ESTIMATORS",
    "EnergyReport",
    "FiringRateHook",
    "Layer",
    "LayerCounter",
    "Operations",
    "Reading",
    "SpikeCounter",
    "Spikes",
    "cost_of",
    "estimate",
    "measure",
    "study",
]
