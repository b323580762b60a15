"""One counter by layer and time step; the rates at prefixes are those of separate passes."""

import math
from functools import partial

import pytest
import torch

from sakd_dense.energy import measure
from sakd_dense.firing import SpikeCounter
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
    counter = SpikeCounter(backbone)
    with counter.counting():
        for x in inputs:
            backbone(x)
    rates = counter.rates((1, 3, 8))
    assert rates == expected, "whole numbers, summed exactly"
    assert list(rates) == [1, 3, 8]
    assert 0 < rates[8] < 1


@torch.no_grad()
@pytest.mark.parametrize("name", ["SpikingRetinaHead", "SpikingFCNHead"])
def test_necks_and_heads_count_at_each_t(name):
    model, batch = lively(MODELS_OF[name]()).eval(), batch_for(name)
    reader = PrefixReader(model, (1, 2, 4))
    counter = SpikeCounter(model)
    with counter.counting():
        for _ in range(2):
            reader.read(lambda: model.test_step(batch))
    for t, rate in counter.rates(reader.time_steps).items():
        reading = measure(model, [batch], t)
        assert rate == pytest.approx(reading.total().spikes.rate, abs=1e-7)
        assert rate != pytest.approx(reading.total("backbone").spikes.rate, abs=1e-4)


@torch.no_grad()
def test_layers_are_the_sum_of_their_passes():
    model, batch = lively(MODELS_OF["SpikingRetinaHead"]()).eval(), batch_for("SpikingRetinaHead")
    counter = SpikeCounter(model, silence=True)
    with counter.counting():
        PrefixReader(model, (1, 4)).read(lambda: model.test_step(batch))
    one, four = (measure(model, [batch], t).layers for t in (1, 4))
    layers = counter.layers
    assert {name.partition(".")[0] for name in layers} > {"backbone"}
    for name, spikes in layers.items():
        runs_once = name.startswith("backbone.")  # at the largest T
        expected = four[name].spikes if runs_once else one[name].spikes + four[name].spikes
        assert spikes == expected, name


@torch.no_grad()
def test_silence_costs_nothing_unless_asked_for():
    backbone = build(retinanet()).backbone
    counter = SpikeCounter(backbone)
    with counter.counting():
        backbone(torch.randn(1, 3, 32, 32))
    assert all(math.isnan(s.silence) and 0 <= s.rate < 1 for s in counter.layers.values())


@torch.no_grad()
def test_hooks_go_and_counts_can_start_afresh():
    backbone = build(retinanet()).backbone
    counter = SpikeCounter(backbone)
    with counter.counting():
        backbone(torch.randn(1, 3, 32, 32))
    first = counter.rates((4,))[4]
    backbone(torch.zeros(1, 3, 64, 64))
    assert counter.rates((4,))[4] == first
    assert not any(n._forward_hooks for n in backbone.neurons)
    counter.reset()
    assert math.isnan(counter.rates((4,))[4])


@torch.no_grad()
def test_hooks_go_when_a_pass_fails():
    backbone = build(retinanet()).backbone
    with (
        pytest.raises(ValueError, match="expects non-empty images"),
        SpikeCounter(backbone).counting(),
    ):
        backbone(torch.randn(3, 32, 32))
    assert not any(n._forward_hooks for n in backbone.neurons)


@torch.no_grad()
def test_a_pass_shorter_than_asked_for_is_an_error():
    backbone = build(retinanet(time_steps=2)).backbone
    counter = SpikeCounter(backbone)
    with counter.counting():
        backbone(torch.randn(1, 3, 32, 32))
    with pytest.raises(ValueError, match="a pass of 2 steps has no firing rate at T=4"):
        counter.rates((1, 4))
