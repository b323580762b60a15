"""Synaptic operations and energy of a model, layer by layer."""

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
    "Layer",
    "LayerCounter",
    "Operations",
    "Reading",
    "cost_of",
    "estimate",
    "measure",
    "study",
]
