"""BatchNorm and neuron in one pass give what they give one after the other."""

import copy

import pytest
import torch
from torch import nn

from sakd_dense.neurons.batchnorm import fits, gradients, take_statistics
from sakd_dense.neurons.forward_state import ForwardState
from sakd_dense.neurons.fused import fire
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.neurons.nodes import DEFAULT_NEURON, build_node
from sakd_dense.neurons.spec import BEHIND, NeuronSpec

T = 4
LIF = NeuronSpec.of(build_node(DEFAULT_NEURON, T), BEHIND)
#: Multiplies and adds in one instruction, as PyTorch's BatchNorm then does.
FMA = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def norm(training=True, channels=6, **kwargs):
    torch.manual_seed(1)
    made = nn.BatchNorm2d(channels, **kwargs)
    if made.affine:
        nn.init.uniform_(made.weight, 0.5, 2.0)
        nn.init.normal_(made.bias)
    if made.running_mean is not None:
        nn.init.normal_(made.running_mean)
        nn.init.uniform_(made.running_var, 0.5, 2.0)
    return made.train(training)


def one_after_the_other(x, bn, identity):
    x = bn(x[0]).expand(T, *x.shape[1:]) if x.dim() == 5 else bn(x)
    spikes = fire(x, T, LIF, compiled=False)
    return spikes if identity is None else spikes + identity


def fused(x, bn, identity):
    return fire(x, T, LIF, bn, identity, compiled=False)


def results(run, x, bn, shared, with_identity):
    """The output, every gradient, and what the norm has counted."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    seen = x.expand(T, *x.shape) if shared else x
    shape = seen.flatten(0, -4).shape
    identity = None
    if with_identity:
        identity = torch.arange(float(shape.numel())).remainder(3).view(shape).to(x.dtype)
        identity.requires_grad_()
    out = run(seen, bn, identity)
    (out * torch.arange(float(out.numel())).sin().view_as(out)).sum().backward()
    grads = [p.grad for p in (x, identity, bn.weight, bn.bias) if p is not None]
    return [out.detach(), *grads, *bn.buffers()]


def assert_alike(x, make, shared=False, with_identity=False):
    want = results(one_after_the_other, x, make(), shared, with_identity)
    got = results(fused, x, make(), shared, with_identity)
    assert want[0].float().mean() > 0
    assert_same_spikes(got[0], want[0])
    for a, b in zip(got[1:], want[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def assert_same_spikes(a, b):
    # Elsewhere it may round another way, right at the threshold.
    assert (a != b).sum() <= (0 if FMA else 2)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("with_identity", [False, True])
def test_outputs_gradients_and_statistics(layout, training, shared, with_identity):
    x = 3 * torch.randn(2 if shared else 2 * T, 6, 5, 7).to(memory_format=layout)
    assert_alike(x, lambda: norm(training), shared, with_identity)


@pytest.mark.parametrize(
    "kwargs", [dict(affine=False), dict(momentum=None), dict(track_running_stats=False)]
)
@pytest.mark.parametrize("training", [True, False])
def test_every_kind_of_batchnorm(kwargs, training):
    assert_alike(3 * torch.randn(2 * T, 6, 5, 7), lambda: norm(training, **kwargs))


@pytest.mark.parametrize("channels", [6, 7, 8, 12])  # 7: its rows do not fill 4 x 75 x 75 pixels
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_large_images_are_those_of_float64(channels, affine, training):
    x, by_output = (3 * torch.randn(2, 4, channels, 75, 75)).unbind()
    x, by_output = (v.to(memory_format=torch.channels_last) for v in (x, by_output))
    made = norm(training, channels, affine=affine).requires_grad_(False)
    reference = copy.deepcopy(made).double().requires_grad_(affine)
    wide = x.double().requires_grad_()
    out = reference(wide)
    out.backward(by_output.double())
    statistics = take_statistics(made, x)
    found = gradients(by_output, x, made.weight, statistics, [True, affine, affine])
    torch.testing.assert_close(found[0].double(), wide.grad, rtol=1e-5, atol=1e-5)
    assert found[0].stride() == x.stride()
    if not affine:
        assert found[1:] == (None, None)
        return
    normed = (out - reference.bias.view(-1, 1, 1)) / reference.weight.view(-1, 1, 1)
    # Float32 rounds every term of a sum, so the bound grows with the terms, not with the sum.
    for sums, parameter, terms in (
        (found[1], reference.weight, by_output * normed),
        (found[2], reference.bias, by_output),
    ):
        assert ((sums - parameter.grad).abs() <= 1e-6 * terms.abs().sum((0, 2, 3))).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_stays(layout):
    x = torch.randn(2 * T, 6, 5, 7).to(memory_format=layout)
    assert fused(x, norm(), None).is_contiguous(memory_format=layout)
    other = torch.randn(2 * T, 6, 5, 7).to(memory_format=LAYOUTS[layout is LAYOUTS[0]])
    want = one_after_the_other(x, norm(), other)
    torch.testing.assert_close(fused(x, norm(), other), want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
def test_half_precision_is_rounded_alike(dtype, training):
    x = (3 * torch.randn(2 * T, 6, 25, 27)).to(dtype)
    out = fused(x, norm(training), None)
    assert out.dtype == dtype
    assert_same_spikes(out, one_after_the_other(x, norm(training), None))


def test_a_sum_has_the_wider_dtype():
    x = torch.randn(2 * T, 6, 5, 7)
    assert fused(x.bfloat16(), norm(), x).dtype == torch.float32
    assert fused(x, norm(), x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("training", [True, False])
def test_spikes_are_those_of_pytorchs_rounding(training):
    x = 3 * torch.randn(2 * T, 6, 150, 170)
    want = one_after_the_other(x, norm(training), None)
    assert_same_spikes(fused(x, norm(training), None), want)


def test_only_y_is_kept_for_backward():
    kept = []
    x = torch.randn(2 * T, 6, 5, 7, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        fused(x, norm(), None)
    large = [t for t in kept if t.numel() >= x.numel()]
    assert [t.data_ptr() for t in large] == [x.data_ptr()]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("with_identity", [False, True])
@torch.no_grad()
def test_owned_input_is_overwritten(layout, with_identity):
    x = torch.randn(2 * T, 6, 5, 7).to(memory_format=layout)
    identity = x.round() if with_identity else None
    want = fused(x, norm(), identity)
    before = x.clone()
    assert torch.equal(fused(x, norm(), identity), want) and torch.equal(x, before)
    out = fire(x, T, LIF, norm(), identity, compiled=False, owned=True)
    assert torch.equal(out, want)
    assert out.data_ptr() == x.data_ptr()


def test_what_backward_reads_is_never_overwritten():
    x = torch.randn(2 * T, 6, 5, 7)
    before = x.clone()
    fire(x, T, LIF, norm(), compiled=False, owned=True)
    assert torch.equal(x, before)


def test_no_gradient_for_what_is_frozen():
    bn = norm(training=False).requires_grad_(False)
    x = torch.randn(2 * T, 6, 5, 7, requires_grad=True)
    fused(x, bn, None).sum().backward()
    assert x.grad is not None and bn.weight.grad is None
    assert not fused(x.detach(), bn, None).requires_grad


@pytest.mark.parametrize(
    "x", [torch.randn(1, 6, 1, 1), torch.randn(1, 6, 1, 1).expand(T, 1, 6, 1, 1)]
)
def test_one_value_a_channel_is_batchnorms_error(x):
    steps = x.shape[0]
    neuron = SpikingNeuron(dict(DEFAULT_NEURON, backend="compiled"), ForwardState(steps))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        neuron(x, norm())


@pytest.mark.parametrize("made", [nn.GroupNorm(2, 6), nn.SyncBatchNorm(6), nn.Identity(), None])
def test_other_norms_are_left_alone(made):
    assert not fits(made, torch.randn(2 * T, 6, 5, 7))


def test_hooks_on_a_norm_see_it_run():
    bn, seen = norm(), []
    bn.register_forward_hook(lambda *_: seen.append(1))
    assert not fits(bn, torch.randn(2 * T, 6, 5, 7))
