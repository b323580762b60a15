"""Spiking neurons: their dynamics, and their fast execution."""

from .clock import Clock, rate, repeat_in_time
from .layer import BACKENDS, SpikingNeuron
from .nodes import DEFAULT_NEURON, build_node, build_surrogate

__all__ = [
    "BACKENDS",
    "DEFAULT_NEURON",
    "Clock",
    "SpikingNeuron",
    "build_node",
    "build_surrogate",
    "rate",
    "repeat_in_time",
]
