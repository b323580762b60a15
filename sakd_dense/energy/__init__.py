"""Firing rates, synaptic operations and energy, layer by layer."""

from ..firing.counter import SpikeCounter, Spikes
from ..firing.hook import FiringRateHook
from .conventions import CONVENTIONS, COSTS, cost_of
from .counter import LayerCounter, Operations
from .estimators import ESTIMATORS, estimate
from .readings import Layer, Reading, measure
from .report import EnergyReport
from .studies import study

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
