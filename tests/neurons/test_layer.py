"""Neurons from a config."""

import pytest
import torch
from spikingjelly.activation_based import neuron, surrogate

from sakd_dense.backbones import SEWResNet
from sakd_dense.neurons.compiling import Fallback
from sakd_dense.neurons.forward_state import ForwardState
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.neurons.nodes import build_node


@pytest.mark.parametrize(
    "kind", ["IFNode", "LIFNode", "ParametricLIFNode", "QIFNode", "EIFNode", "IzhikevichNode"]
)
@pytest.mark.parametrize("gradient", ["ATan", "Sigmoid", "PiecewiseQuadratic"])
def test_any_neuron_and_surrogate_by_name(kind, gradient):
    node = build_node(dict(type=kind, surrogate_function=gradient), 2)
    assert type(node) is getattr(neuron, kind)
    assert type(node.surrogate_function) is getattr(surrogate, gradient)
    layer = SpikingNeuron(dict(type=kind, surrogate_function=gradient), ForwardState(2))
    x = torch.randn(6, 4, 5, 5, requires_grad=True)
    spikes = layer(x)
    assert spikes.shape == x.shape
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    spikes.sum().backward()
    assert x.grad.abs().sum() > 0


def test_surrogate_arguments_arrive():
    cfg = dict(type="IFNode", surrogate_function=dict(type="ATan", alpha=3.5))
    assert build_node(cfg, 1).surrogate_function.alpha == 3.5


def test_a_layer_is_spikingjellys_own_node():
    layer = SpikingNeuron(dict(type="LIFNode", tau=3.0), ForwardState(4))
    x = torch.randn(4, 2, 3, 5, 5)
    reference = neuron.LIFNode(tau=3.0, step_mode="m")(x)
    assert torch.equal(layer(x.flatten(0, 1)), reference.flatten(0, 1))
    assert torch.equal(layer(x), reference.flatten(0, 1))


def test_no_state_outlives_a_call():
    layer = SpikingNeuron("IFNode", ForwardState(2))
    x = torch.full((2, 1, 1, 1), 0.6)
    assert layer(x).flatten().tolist() == layer(x).flatten().tolist() == [0.0, 1.0]
    assert not any(torch.is_tensor(m) for m in layer.node.memories())


@pytest.mark.parametrize("backend", ["spikingjelly", "compiled"])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.5])
def test_every_call_starts_at_v_init(backend, v_reset, monkeypatch):
    monkeypatch.setattr(Fallback, "reason", "none")  # the fused pass, not compiled
    cfg = dict(type="IFNode", v_threshold=2.0, v_reset=v_reset, backend=backend)
    layer, rest = (
        SpikingNeuron(dict(cfg, v_init=0.5), ForwardState(2)),
        SpikingNeuron(cfg, ForwardState(2)),
    )
    x = torch.full((2, 1, 1, 1), 1.0)  # half of the threshold
    for _ in range(2):
        assert layer(x).flatten().tolist() == [1.0, 0.0]
        assert rest(x).flatten().tolist() == ([0.0, 1.0] if v_reset != -0.5 else [0.0, 0.0])


def test_psn_is_bound_to_its_own_t():
    backbone = SEWResNet(18, base_channels=8, time_steps=2, neuron="PSN")
    assert not backbone.causal
    backbone(torch.rand(1, 3, 32, 32))
    backbone.time_steps = 4
    with pytest.raises(ValueError, match="T=2 and cannot run T=4"):
        backbone(torch.rand(1, 3, 32, 32))


def test_learnable_neurons_are_parameters():
    names = SEWResNet(18, base_channels=8, neuron="ParametricLIFNode").state_dict()
    assert "layer1.0.sn1.node.w" in names


@pytest.mark.parametrize(
    "cfg,says",
    [
        ("Nope", "'Nope'.*known"),
        (dict(tau=2.0), "None"),
        (dict(type="IFNode", leak=1), "leak"),
        (dict(type="IFNode", surrogate_function=dict(type="ATan", beta=1)), "beta"),
        (dict(type="IFNode", surrogate_function="Nope"), "surrogate_function type 'Nope'"),
        (dict(type="ParametricLIFNode", v_init=0.5), "v_init applies to IFNode and LIFNode"),
        (dict(type="NILIFNode", D=4, v_init=0.5), "v_init applies to IFNode and LIFNode"),
        (dict(type="LIFNode", v_init="half"), "v_init must be a number"),
    ],
)
def test_bad_configs_are_named(cfg, says):
    with pytest.raises(ValueError, match=says):
        SpikingNeuron(cfg, ForwardState(2))(torch.rand(2, 1, 2, 2))
