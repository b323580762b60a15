"""Firing rates and silence by layer, at every T, and nothing left behind."""

import pytest
import torch
from spikingjelly.activation_based.op_counter import (
    LemaireEnergyConfig,
    LemaireEnergyProfiler,
    SimpleEnergyConfig,
    SimpleEnergyProfiler,
)
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sakd_dense.backbones import SEWResNet_CIFAR
from sakd_dense.config.twins import ann_of
from sakd_dense.energy import ESTIMATORS, cost_of, estimate, measure
from sakd_dense.energy.counter import Operations
from sakd_dense.energy.readings import plain_neurons
from sakd_dense.neurons.layer import SpikingNeuron
from tests.energy.test_counter import Whole
from tests.helpers.residual_backbones import excite
from tests.helpers.scenes import build, detection_batch, retinanet


@pytest.fixture
def model():
    model = build(retinanet()).eval()
    excite(model.backbone)
    return model


@torch.no_grad()
@pytest.mark.parametrize("t", [1, 3])
def test_rates_and_silence_are_those_of_the_outputs(model, t):
    batches = [detection_batch((64, 64), (64, 64)), detection_batch((96, 64))]
    outputs: dict[str, list[torch.Tensor]] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, SpikingNeuron):

            def keep(_m, _args, out, name=name):
                outputs.setdefault(name, []).append(out.unflatten(0, (t, -1)).flatten(1))

            handles.append(module.register_forward_hook(keep))
    reading = measure(model, batches, t)
    assert reading.images == 3
    for handle in handles:
        handle.remove()
    assert outputs
    for name, found in outputs.items():
        whole = torch.cat(found, 1)
        spikes = reading.layers[name].spikes
        assert spikes.rate == pytest.approx(whole.mean().item())
        assert spikes.silence == pytest.approx((whole.sum(0) == 0).float().mean().item())
    assert reading.parts() == ["backbone", "neck", "bbox_head"]
    assert 0 < reading.total("backbone").spikes.rate < 1


@torch.no_grad()
def test_the_model_is_left_as_it_was(model):
    batch = detection_batch((64, 64))
    before = model.test_step(batch)[0].pred_instances
    backends = [n.backend for n in model.backbone.neurons]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    measure(model, [batch], 2)
    estimate(model, [batch], 2, cost_of(), ESTIMATORS)
    assert [n.backend for n in model.backbone.neurons] == backends
    assert model.backbone.time_steps == retinanet()["backbone"].get("time_steps", 4)
    left = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    assert left == hooks
    after = model.test_step(batch)[0].pred_instances
    assert torch.equal(before.bboxes, after.bboxes) and torch.equal(before.scores, after.scores)


def without_norms(connect):
    """A backbone of layers alone, which every estimator of SpikingJelly takes as it is."""
    backbone = excite(SEWResNet_CIFAR(18, base_channels=8, time_steps=2, connect=connect)).eval()
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, nn.Identity())
    return backbone


def by_spikingjelly(name, backbone, x, cost):
    """Its own, pJ, by its own front doors."""
    if name == "simple":
        own = SimpleEnergyProfiler(config=SimpleEnergyConfig(cost_config=cost))
    else:
        own = LemaireEnergyProfiler(config=LemaireEnergyConfig(strict=False))
    own.bind_model(backbone)
    with own:
        backbone(x)
    report = own.get_report()
    return report.energy_total_pj if name == "simple" else report.total_pj


@torch.no_grad()
@pytest.mark.parametrize("connect", ["ADD", "AND"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimates_are_spikingjellys_and_their_parts_sum(name, connect):
    backbone, images = without_norms(connect), torch.randn(2, 3, 32, 32)
    cost = cost_of()
    batches = list(images.split(1))
    found = estimate(Whole(backbone), batches, 2, cost, [name])[name]
    assert min(found.values()) > 0
    with plain_neurons(backbone):
        each = [by_spikingjelly(name, backbone, x, cost) for x in batches]
    assert sum(found.values()) == pytest.approx(sum(each) / 2 * 1e-9)


@torch.no_grad()
def test_estimates_of_a_whole_detector(model):
    """Norms are folded, layers that levels share count at each."""
    batch, cost = detection_batch((64, 64)), cost_of()
    found = estimate(model, [batch], 2, cost, ESTIMATORS)
    assert list(found) == list(ESTIMATORS)
    assert all(min(parts.values()) > 0 for parts in found.values())
    strict = measure(model, [batch], 2).total().operations
    assert found["simple"]["arithmetic"] > strict.millijoule("strict", cost.e_mac_pj, cost.e_ac_pj)
    twin = estimate(build(ann_of(retinanet())).eval(), [batch], None, cost, ESTIMATORS)
    assert list(twin) == list(ESTIMATORS)
    assert twin["simple"]["neuron states"] == 0 < twin["simple"]["arithmetic"]


def test_an_estimator_that_is_not_there_is_named(model):
    with pytest.raises(ValueError, match=r"estimators=\['guess'\].*simple"):
        estimate(model, [], 2, cost_of(), ["guess"])


def test_costs():
    ops = Operations(dense=10e9, strict_mac=1e9, strict_ac=2e9, count_mac=0, count_ac=3e9)
    cost = cost_of()
    assert ops.millijoule("strict", cost.e_mac_pj, cost.e_ac_pj) == pytest.approx(4.6 + 1.8)
    assert ops.millijoule("count", cost.e_mac_pj, cost.e_ac_pj) == pytest.approx(2.7)
    assert cost_of("int8").e_mac_pj == pytest.approx(0.23)
    assert cost_of(e_mac=1.0).e_mac_pj == 1.0 and cost_of(e_mac=1.0).e_ac_pj == 0.9
    with pytest.raises(ValueError, match="cost='fp8'"):
        cost_of("fp8")
    with pytest.raises(ValueError, match="e_ac=-1"):
        cost_of(e_ac=-1)
