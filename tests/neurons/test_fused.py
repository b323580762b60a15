"""The fused neuron gives what SpikingJelly's gives."""

import pytest
import torch
from spikingjelly.activation_based import neuron, surrogate

from sakd_dense.neurons.forward_state import rate
from sakd_dense.neurons.fused import fire
from sakd_dense.neurons.spec import BEFORE, BEHIND, NeuronSpec
from tests.helpers.fused_neurons import NODES, layer
from tests.helpers.pairwise import pairwise


def run_both(cfg, x, expand=lambda x: x):
    """Spikes and gradient of SpikingJelly's neuron and of the fused one, not compiled."""
    node = layer(backend="spikingjelly", **cfg)
    for run in (node, lambda x: plain(x, node.node)):
        mine = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        spikes = run(expand(mine))
        (spikes * torch.arange(float(spikes.numel())).sin().view_as(spikes)).sum().backward()
        yield spikes.detach(), mine.grad


def plain(x, node):
    return fire(x, 4, NeuronSpec.of(node, BEFORE), compiled=False)


def assert_equal(pair):
    (spikes, grad), (fused, fused_grad) = pair
    assert torch.equal(fused, spikes)
    assert 0 < spikes.mean() < 1
    torch.testing.assert_close(fused_grad, grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("cfg", "v_reset", "detach_reset", "gradient"),
    pairwise(
        NODES,
        [None, 0.0, -0.3],
        [True, False],
        ["ATan", "Sigmoid", "PiecewiseQuadratic", "Erf"],
    ),
)
def test_spikes_and_gradients(cfg, v_reset, detach_reset, gradient):
    cfg = dict(cfg, v_reset=v_reset, detach_reset=detach_reset, surrogate_function=gradient)
    assert_equal(run_both(cfg, 1.5 * torch.randn(8, 3, 5, 5)))


@pytest.mark.parametrize("cfg", NODES)
def test_the_same_input_at_every_step_is_read_once(cfg):
    x = torch.randn(2, 3, 5, 5)
    assert_equal(run_both(cfg, x, lambda x: x.unsqueeze(0).expand(4, *x.shape)))


@pytest.mark.parametrize("cfg", NODES)
def test_channels_last_stays_so(cfg):
    x = (1.5 * torch.randn(8, 3, 5, 5)).to(memory_format=torch.channels_last)
    assert_equal(run_both(cfg, x))
    node = layer(backend="spikingjelly", **cfg).node
    assert plain(x, node).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("learns", ["x", "identity", "neither"])
def test_a_shortcut_is_added(layout, learns):
    x, identity = torch.randn(2, 8, 3, 5, 5).unbind()
    x, identity = (v.to(memory_format=layout) for v in (x, identity.round()))
    node = layer(backend="spikingjelly", **NODES[1])
    want = node(x) + identity
    x.requires_grad_(learns == "x")
    identity.requires_grad_(learns == "identity")
    out = fire(x, 4, NeuronSpec.of(node.node, BEHIND), identity=identity, compiled=False)
    assert torch.equal(out, want)
    assert out.is_contiguous(memory_format=layout)
    assert out.requires_grad == (learns != "neither")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("with_identity", [False, True])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@torch.no_grad()
def test_owned_input_is_overwritten(layout, with_identity, compiled):
    x = (1.5 * torch.randn(8, 3, 5, 5)).to(memory_format=layout)
    identity = x.round() if with_identity else None
    node = layer(backend="spikingjelly", **NODES[1])
    want = node(x) if identity is None else node(x) + identity
    given = x.clone(memory_format=torch.preserve_format)
    spec = NeuronSpec.of(node.node, BEHIND)
    assert torch.equal(fire(given, 4, spec, None, identity, compiled=compiled), want)
    assert torch.equal(given, x)
    out = fire(given, 4, spec, None, identity, compiled=compiled, owned=True)
    assert torch.equal(out, want)
    assert out.data_ptr() == given.data_ptr()


@torch.no_grad()
def test_an_input_that_is_shared_or_narrower_than_the_shortcut_is_kept():
    x, spec = torch.randn(2, 3, 5, 5), NeuronSpec.of(layer(**NODES[1]).node, BEHIND)
    for given, identity in (
        (x.expand(4, *x.shape), None),
        (x.repeat(4, 1, 1, 1).bfloat16(), torch.ones(8, 3, 5, 5)),
    ):
        before = given.clone()
        out = fire(given, 4, spec, None, identity, compiled=False, owned=True)
        assert out.dtype == torch.float32
        assert torch.equal(given, before)


@torch.no_grad()
def test_a_neuron_called_by_itself_leaves_its_input_alone():
    x = torch.randn(8, 3, 5, 5)
    before = x.clone()
    layer(backend="compiled", **NODES[0])(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", [(4, 2, 3, 5, 6), (4, 1, 3, 1, 6), (1, 2, 8, 5, 5), (4, 2, 3)])
def test_a_rate_is_the_mean_however_its_sequence_lies(shape):
    plain = torch.rand(shape, requires_grad=True)
    want = plain.mean(0)
    weights = torch.rand_like(want)
    (want * weights).sum().backward()
    laid = plain.detach()
    if len(shape) == 5:
        laid = laid.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, shape[:2])
    laid.requires_grad_()
    got = rate(laid)
    (got * weights).sum().backward()
    assert got.is_contiguous()
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(laid.grad, plain.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_spikes_as_single_precision_does(dtype):
    x = torch.randn(8, 3, 50, 50).to(dtype)
    node = layer(backend="spikingjelly", **NODES[1])
    assert plain(x, node.node).dtype == dtype
    assert torch.equal(plain(x, node.node).float(), node(x.float()))
    assert (plain(x, node.node) != node(x)).float().mean() < 2e-3


@pytest.mark.parametrize(
    "node",
    [
        neuron.ParametricLIFNode(),
        neuron.QIFNode(),
        neuron.IFNode(store_v_seq=True),
        neuron.IFNode(surrogate_function=surrogate.ATan(spiking=False)),
    ],
)
def test_other_neurons_are_left_to_spikingjelly(node):
    assert NeuronSpec.of(node, BEFORE).dynamics is None
