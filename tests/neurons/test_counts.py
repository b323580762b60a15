"""Neurons that fire integers: their formulas, and the fused pass with BatchNorm and shortcut."""

from itertools import product

import pytest
import torch
from torch import nn

from sakd_dense.neurons.forward_state import ForwardState
from sakd_dense.neurons.fused import fire
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.neurons.nodes import build_node
from sakd_dense.neurons.spec import BEFORE, NeuronSpec
from sakd_dense.runtime import UserError
from tests.helpers.pairwise import pairwise

CHANNELS = 3


class RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, most):
        ctx.save_for_backward((h >= 0) & (h <= most))
        return h.clamp(0, most).round()

    @staticmethod
    def backward(ctx, grad):
        (inside,) = ctx.saved_tensors
        return grad * inside, None


def reference(x, step, most, beta):
    """NI-LIF as the papers write it, step by step; the count is scaled after rounding."""
    h, outputs = torch.zeros_like(x[0]), []
    for current in x:
        h = beta * h + current / step
        count = RoundStraightThrough.apply(h, most)
        h = h - count.detach()
        outputs.append(count * step)
    return torch.stack(outputs)


def layer(node, time_steps, backend="spikingjelly"):
    neuron = SpikingNeuron(dict(node, backend=backend), ForwardState(time_steps), CHANNELS)
    threshold = getattr(neuron.node, "threshold", None)
    if threshold is not None:
        threshold.data.copy_(torch.tensor([0.7, 1.3, 2.9]))
    return neuron


def a_norm(training):
    norm = nn.BatchNorm2d(CHANNELS).train(training)
    norm.weight.data.copy_(torch.tensor([1.0, 1.2, 1.5]))
    norm.bias.data.fill_(0.3)
    return norm


def weighted_grad(out, *inputs):
    weights = torch.arange(float(out.numel())).sin().view_as(out)
    return torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True)


@pytest.mark.parametrize("most", [1, 2, 4, 8])
@pytest.mark.parametrize("time_steps", [1, 3])
@pytest.mark.parametrize(("tau", "beta"), [(None, 1.0), (4 / 3, 0.25)])
def test_the_papers_formula(most, time_steps, tau, beta):
    neuron = layer(dict(type="NILIFNode", D=most, tau=tau), time_steps)
    x = torch.randn(time_steps, 2, CHANNELS, 9, 9, requires_grad=True)
    out = neuron.node(x)
    step = torch.tensor([0.7, 1.3, 2.9]).view(-1, 1, 1) / most
    want = reference(x, step, most, beta)
    torch.testing.assert_close(out, want, rtol=0, atol=1e-6)
    torch.testing.assert_close(weighted_grad(out, x), weighted_grad(want, x))
    # Divided before rounding, it would emit 0 and 1 alone.
    assert sorted((out / step).round().unique().tolist()) == list(range(most + 1))


def test_the_short_form_of_spikingjellys_neuron():
    node = build_node(dict(type="ILIFNode", D=3), 1)
    assert node.surrogate_function.max_spike_count == 3
    assert node(5 * torch.randn(1, 2, 3, 20, 20)).unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("most", [0, -1, 2.5, True, "4"])
@pytest.mark.parametrize("kind", ["ILIFNode", "NILIFNode"])
def test_a_bad_number_of_spikes_is_named(most, kind):
    with pytest.raises(UserError, match=rf"D={most!r}: must be an integer"):
        build_node(dict(type=kind, D=most), 1)


@pytest.mark.parametrize("threshold", [0, -1.0, float("nan")])
def test_a_bad_threshold_is_named(threshold):
    with pytest.raises(UserError, match="v_threshold"):
        build_node(dict(type="NILIFNode", v_threshold=threshold), 1)


def test_another_number_of_spikes_keeps_the_threshold():
    neuron = SpikingNeuron(dict(type="NILIFNode", D=4, v_threshold=2.0), ForwardState(1))
    x = 3 * torch.randn(1, 1, 50, 50)
    for backend in ("spikingjelly", "compiled"):
        neuron.backend = backend
        neuron.max_spikes = 2
        assert neuron(x).unique().tolist() == [0, 1, 2]
        neuron.max_spikes = 8
        assert neuron(x).max() == 2 and neuron.scale == 0.25


NODES = [
    dict(type="NILIFNode", D=4),
    dict(type="NILIFNode", D=2, tau=4 / 3),
    dict(type="ILIFNode", D=4),
    dict(type="ILIFNode", D=4, detach_reset=True, v_threshold=0.7),
    dict(type="LIFNode", decay_input=False, v_reset=None),
]
LEAKY = dict(type="NILIFNode", D=3, tau=4 / 3, detach_reset=False)


#: What differs in its kernel.
COMPILED = [NODES[0], NODES[-1], LEAKY]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
SHORTCUTS = [None, "behind", "before"]
TRAINING = [True, False, None]  # None: without a BatchNorm
# A compiled case takes seconds: every pair of neuron, shortcut and mode of BatchNorm, once each,
# and each neuron with both layouts and both T.
KERNELS = [
    (
        TRAINING[(i + j) % 3],
        LAYOUTS[(i + (j > 0)) % 2],
        (3, 1)[(i + j) % 2],
        SHORTCUTS[j],
        node,
        True,
    )
    for (i, node), j in product(enumerate(COMPILED), range(3))
]


@pytest.mark.parametrize(
    ("training", "layout", "time_steps", "shortcut", "node", "compiled"),
    [
        *pairwise(TRAINING, LAYOUTS, (1, 3), SHORTCUTS, [*NODES, LEAKY], [False]),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in KERNELS),
    ],
)
def test_norm_neuron_and_shortcut_in_one_pass(
    training, layout, time_steps, shortcut, node, compiled
):
    neuron = layer(node, time_steps)
    norms = [None, None] if training is None else [a_norm(training), a_norm(training)]
    x, identity = (1.5 * torch.randn(2, 2 * time_steps, CHANNELS, 6, 6)).unbind()
    x = x.to(memory_format=layout).requires_grad_()
    identity = identity.to(memory_format=layout).requires_grad_() if shortcut else None

    def want():
        currents = x if norms[0] is None else norms[0](x)
        if shortcut == "before":
            return neuron(currents + identity)
        return neuron(currents) + identity if shortcut else neuron(currents)

    def got():
        return fire(
            x,
            time_steps,
            NeuronSpec.of(neuron.node, shortcut or BEFORE),
            norms[1],
            identity,
            neuron.scale,
            compiled=compiled,
        )

    outputs, grads = [], []
    for run, norm in ((want, norms[0]), (got, norms[1])):
        outputs.append(run())
        learned = [v for v in (x, identity) if v is not None]
        for module in (norm, neuron):
            learned += [] if module is None else list(module.parameters())
        grads.append(weighted_grad(outputs[-1], *learned))
    if training is not None:
        torch.testing.assert_close(norms[1].state_dict(), norms[0].state_dict())
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(got(), outputs[0].detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])  # the same input at every t
def test_one_threshold_for_all_channels(shared):
    neuron = SpikingNeuron(dict(type="NILIFNode", D=3, v_threshold=1.3), ForwardState(2))
    x = torch.randn(2, CHANNELS, 5, 5) if shared else torch.randn(4, CHANNELS, 5, 5)
    x.requires_grad_()
    seen = x.expand(2, *x.shape) if shared else x
    found = []
    for backend in ("spikingjelly", "compiled"):
        neuron.backend = backend
        out = neuron(seen)
        found.append([out, *weighted_grad(out, x)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("node", NODES)
def test_spikes_are_whole_numbers_up_to_the_slots(node):
    neuron = layer(node, 1)
    spikes = neuron.spikes_of(neuron(2 * torch.randn(4, CHANNELS, 20, 20)))
    assert spikes.unique().tolist() == list(range(neuron.max_spikes + 1))
