"""Spiking neurons: what one computes, and how it is run fast."""

from .layer import (
    BACKENDS,
    DEFAULT_NEURON,
    Clock,
    SpikingNeuron,
    build_node,
    build_surrogate,
    rate,
    repeat_in_time,
)

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
