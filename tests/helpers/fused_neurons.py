"""Neurons that the fused pass supports, and a layer of one."""

from sakd_dense.neurons.forward_state import ForwardState
from sakd_dense.neurons.layer import SpikingNeuron

NODES = [
    dict(type="IFNode"),
    dict(type="LIFNode", tau=2.0, decay_input=False),
    dict(type="LIFNode", tau=3.0, decay_input=True),
    dict(type="LIFNode", tau=2.0, v_threshold=1.5, v_init=0.5),
]


def layer(time_steps=4, **cfg):
    return SpikingNeuron(cfg, ForwardState(time_steps))
