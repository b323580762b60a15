"""Residual backbones that save memory: the same results, and no spikes kept as floats."""

import gc

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from sakd_dense.neurons.compiling import Payback
from tests.helpers.residual_backbones import CONNECTS, excite, small

SAVING = [dict(with_cp=True), dict(compress_spikes=True), dict(with_cp=True, compress_spikes=True)]


@pytest.mark.parametrize("saving", SAVING)
@pytest.mark.parametrize("connect", CONNECTS)
@pytest.mark.parametrize("depth", [18, 50])
def test_what_saves_memory_changes_nothing_else(depth, connect, saving):
    """Same output, gradient and BatchNorm statistics, even when T changes before backward."""
    more = dict(deep_stem=True, avg_down=True) if depth == 50 else {}
    plain = excite(small(depth, connect=connect, **more))
    checked = small(depth, connect=connect, **more, **saving)
    checked.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    outs = []
    for model in (plain, checked):
        outs.append(model(x))
        model.clock.time_steps = 7
        sum(o.square().sum() for o in outs[-1]).backward()
    for a, b in zip(*outs, strict=True):
        assert torch.equal(a, b)
    for (n, a), b in zip(plain.named_parameters(), checked.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=n)
    for (n, a), b in zip(plain.named_buffers(), checked.buffers(), strict=True):
        assert torch.equal(a, b), n


def is_spikes(t):
    return t.dim() == 4 and t.is_floating_point() and t.any() and torch.equal(t, t.round())


def tensors_alive():
    return [t for t in gc.get_objects() if type(t) is torch.Tensor]


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("compressed", [False, True])
def test_no_spikes_are_kept_as_floats(monkeypatch, depth, compressed):
    monkeypatch.setattr(Payback, "broken", True)  # the fused neuron, not compiled
    fused = dict(type="LIFNode", v_reset=None, backend="compiled")
    # Strided 1x1 convolutions of fewer channels are given a contiguous copy (memory_format.py).
    model = excite(small(depth, neuron=fused, compress_spikes=compressed, base_channels=16))
    kept, before = [], tensors_alive()  # other tests may have left some
    with saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        loss = sum(out.sum() for out in model(torch.randn(2, 3, 64, 64)))
    assert any(not is_spikes(t) for t in kept)  # what convolutions give, for BatchNorm and neuron
    assert any(is_spikes(t) for t in kept) != compressed
    kept.clear()  # or the graph, whose hooks hold it, would hold itself
    if compressed:  # nor by anything else that Python can reach, while the graph lives
        known = {id(t) for t in before}
        alive = [t for t in tensors_alive() if id(t) not in known and is_spikes(t)]
        assert loss.requires_grad and not alive


def test_values_that_are_no_spikes_are_not_compressed():
    smooth = dict(type="IFNode", surrogate_function=dict(type="Sigmoid", spiking=False))
    with pytest.raises(ValueError, match="compress_spikes=True: IFNode with Sigmoid"):
        small(neuron=smooth, compress_spikes=True)
