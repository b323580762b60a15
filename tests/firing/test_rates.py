"""Firing rates at prefixes are those of separate passes."""

import math
from functools import partial

import pytest
import torch

from sakd_dense.energy import measure
from sakd_dense.firing import FiringRate
from sakd_dense.timesteps import PrefixReader
from tests.helpers.scenes import build, retinanet
from tests.helpers.spiking_models import MODELS_OF, batch_for, lively


def counted(backbone, x, t):
    """Total output over total size, with nothing but hooks on the neurons."""
    spikes, size, handles = 0.0, 0, []

    def add(_module, _args, out):
        nonlocal spikes, size
        assert set(out.unique().tolist()) <= {0.0, 1.0}
        spikes += out.sum().item()
        size += out.numel()

    for neuron in backbone.neurons:
        handles.append(neuron.register_forward_hook(add))
    backbone.time_steps = t
    backbone(x)
    for handle in handles:
        handle.remove()
    return spikes, size


@torch.no_grad()
@pytest.mark.parametrize("backend", ["spikingjelly", "compiled"])
def test_prefixes_of_one_pass_are_the_rates_of_separate_passes(backend, monkeypatch):
    monkeypatch.setattr(
        "sakd_dense.neurons.compiling._compiled", partial
    )  # the same code, uncompiled
    backbone = build(retinanet()).backbone
    for neuron in backbone.neurons:
        neuron.backend = backend
    for norm in backbone.modules():  # a block that starts as the identity would not fire
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.uniform_(norm.bias)
    # Two sizes: neurons weigh the same, whichever image they belong to.
    inputs = [torch.randn(2, 3, 32, 32), torch.randn(1, 3, 48, 64)]
    expected = {}
    for t in (1, 3, 8):
        totals = [counted(backbone, x, t) for x in inputs]
        expected[t] = sum(s for s, _ in totals) / sum(n for _, n in totals)
    with FiringRate(backbone, (1, 3, 8)) as firing:
        for x in inputs:
            backbone(x)
    rates = firing.rates()
    assert rates == pytest.approx(expected, abs=1e-7)
    assert list(rates) == [1, 3, 8]
    assert 0 < rates[8] < 1


@torch.no_grad()
@pytest.mark.parametrize("name", ["SpikingRetinaHead", "SpikingFCNHead"])
def test_necks_and_heads_count_at_each_t(name):
    model, batch = lively(MODELS_OF[name]()).eval(), batch_for(name)
    reader = PrefixReader(model, (1, 2, 4))
    with FiringRate(model, reader.time_steps) as firing:
        for _ in range(2):
            reader.read(lambda: model.test_step(batch))
    for t, rate in firing.rates().items():
        reading = measure(model, [batch], t)
        assert rate == pytest.approx(reading.total().spikes.rate, abs=1e-7)
        assert rate != pytest.approx(reading.total("backbone").spikes.rate, abs=1e-4)


@torch.no_grad()
def test_hooks_go_and_counts_can_start_afresh():
    backbone = build(retinanet()).backbone
    with FiringRate(backbone, (4,)) as firing:
        backbone(torch.randn(1, 3, 32, 32))
    first = firing.rates()[4]
    backbone(torch.zeros(1, 3, 64, 64))
    assert firing.rates()[4] == first
    assert not any(n._forward_hooks for n in backbone.neurons)
    firing.reset()
    assert math.isnan(firing.rates()[4])


@torch.no_grad()
def test_a_pass_shorter_than_asked_for_is_an_error():
    backbone = build(retinanet(time_steps=2)).backbone
    with pytest.raises(ValueError, match="a pass of 2 steps has no firing rate at T=4"):
        with FiringRate(backbone, (1, 4)):
            backbone(torch.randn(1, 3, 32, 32))
    assert not any(n._forward_hooks for n in backbone.neurons)
