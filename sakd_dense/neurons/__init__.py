"""Spiking neurons: their dynamics, and their fast execution."""

from .compile_hook import CompileNeuronsHook, compile_neurons
from .forward_state import ForwardState, rate, repeat_in_time
from .layer import BACKENDS, SpikingNeuron
from .nodes import DEFAULT_NEURON, build_node, build_surrogate

__all__ = [
    "BACKENDS",
    "DEFAULT_NEURON",
    "ForwardState",
    "CompileNeuronsHook",
    "SpikingNeuron",
    "build_node",
    "build_surrogate",
    "compile_neurons",
    "rate",
    "repeat_in_time",
]
