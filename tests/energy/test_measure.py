"""Firing rates and silence by layer, at every T, and nothing left behind."""

import pytest
import torch
from spikingjelly.activation_based.op_counter import (
    LemaireEnergyConfig,
    LemaireEnergyProfiler,
    SimpleEnergyConfig,
    SimpleEnergyProfiler,
)
from torch.nn.modules.batchnorm import _BatchNorm

from sakd_dense.energy import ESTIMATORS, cost_of, estimate, measure
from sakd_dense.energy.counter import Operations
from sakd_dense.energy.measure import plain_neurons
from sakd_dense.neurons import SpikingNeuron
from tests.backbones.test_resnet import excite
from tests.timesteps.scenes import build, detection_batch, retinanet


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
    measure(model, [batch], 2)
    estimate(model, [batch], 2, cost_of(), ESTIMATORS)
    assert [n.backend for n in model.backbone.neurons] == backends
    assert model.backbone.time_steps == retinanet()["backbone"].get("time_steps", 4)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    after = model.test_step(batch)[0].pred_instances
    assert torch.equal(before.bboxes, after.bboxes) and torch.equal(before.scores, after.scores)


@torch.no_grad()
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimates_are_spikingjellys_and_their_parts_sum(model, name):
    batch = detection_batch((64, 64))
    found = estimate(model, [batch], 2, cost_of(), [name])[name]
    own = {
        "simple": SimpleEnergyProfiler(
            config=SimpleEnergyConfig(extra_ignore_modules=[_BatchNorm])
        ),
        "lemaire": LemaireEnergyProfiler(config=LemaireEnergyConfig(strict=False)),
    }[name]
    own.bind_model(model)
    model.backbone.time_steps = 2
    with plain_neurons(model), own:
        model.test_step(batch)
    report = own.get_report()
    total = report.total_pj if name == "lemaire" else report.energy_total_pj
    assert sum(found.values()) == pytest.approx(total * 1e-9)
    assert min(found.values()) > 0
    if name == "simple":  # updates and sums beside what the strict convention counts
        cost = cost_of()
        strict = measure(model, [batch], 2).total().operations
        assert found["arithmetic"] > strict.millijoule("strict", cost.e_mac_pj, cost.e_ac_pj)


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
