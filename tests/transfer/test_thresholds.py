"""Level 1 of neurons that fire integers: thresholds that lose least of the ANN's activations."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from spikingjelly.activation_based.functional import reset_net
from torch import nn

from sakd_dense.backbones import SEWResNet, SpikingResNet
from sakd_dense.export import RawModel
from sakd_dense.neurons.counts import NILIFNode
from sakd_dense.runtime import UserError
from sakd_dense.transfer import calibrate
from sakd_dense.transfer.thresholds import calibrate_on
from tests.helpers.processes import run_group
from tests.helpers.spiking_models import detector, lively


def backbone(kind=SpikingResNet, depth=18, most=4, **arguments):
    node = dict(type="NILIFNode", D=most)
    model = kind(depth=depth, base_channels=8, stem_channels=8, neuron=node, **arguments)
    model.init_weights()
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)  # no block is the identity
    return model


def images(batches=2):
    return [(torch.randn(4, 3, 32, 32),) for _ in range(batches)]


def relative_error(x, threshold, most):
    step = threshold / most
    return (x - (x / step).clamp(0, most).round() * step).square().sum() / x.square().sum()


class OneLayer(nn.Module):
    """What its neuron receives is the model's input, at every time step."""

    def __init__(self, most, channels=3, time_steps=1, **neuron):
        super().__init__()
        self.node = NILIFNode(D=most, channels=channels, **neuron)
        self.time_steps = time_steps

    def forward(self, x):
        reset_net(self)
        return self.node(x.expand(self.time_steps, *x.shape))


@pytest.mark.parametrize("most", [1, 2, 4, 16])
def test_no_threshold_is_better(most):
    """Beside the one found, none of a finer grid loses clearly less."""
    model = OneLayer(most)
    x = torch.randn(64, 3, 8, 8) * torch.tensor([0.2, 1.0, 7.0]).view(3, 1, 1)
    calibrate(model, [(x,)], 1)
    for c in range(3):
        channel = x[:, c].relu()
        found = relative_error(channel, model.node.threshold[c], most)
        others = torch.linspace(0.02, 1, 500) * channel.max()
        best = min(relative_error(channel, t, most) for t in others)
        assert found <= 1.05 * best
    assert model.node.threshold[0] < model.node.threshold[1] < model.node.threshold[2]


@pytest.mark.parametrize(("most", "time_steps"), [(1, 4), (2, 2), (4, 1)])
def test_slots_of_several_time_steps_count_as_those_of_one(most, time_steps):
    """The mean over time of a constant input has T D steps."""
    x = torch.randn(16, 3, 8, 8)
    thresholds, means = [], []
    for model in (OneLayer(most, time_steps=time_steps), OneLayer(most * time_steps)):
        calibrate(model, [(x,)], 1)
        thresholds.append(model.node.threshold)
        means.append(model(x).mean(0))
    torch.testing.assert_close(*thresholds)
    torch.testing.assert_close(*means)


def test_with_a_leak_only_the_slots_of_one_time_step_count():
    x = torch.randn(16, 3, 8, 8)
    leaky, single = OneLayer(2, time_steps=4, tau=2.0), OneLayer(2)
    for model in (leaky, single):
        calibrate(model, [(x,)], 1)
    torch.testing.assert_close(leaky.node.threshold, single.node.threshold)


@pytest.mark.parametrize("kind", [SpikingResNet, SEWResNet])
@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("by", ["channel", "layer"])
def test_it_loses_less_than_the_default_and_changes_no_weight(kind, depth, by):
    model = backbone(kind, depth)
    weights = {k: v.clone() for k, v in model.state_dict().items() if "threshold" not in k}
    model.train()
    errors = calibrate(model, images(), 2, by=by)
    assert len(errors) == len(model.neurons)
    assert all(0 <= error < 1 for error in errors.values())
    assert model.training
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in weights.items())
    for neuron in model.neurons:
        same = neuron.node.threshold.unique().numel() == 1
        assert same == (by == "layer") or neuron.node.threshold.numel() == 1


def test_with_many_spikes_the_student_is_the_ann():
    """The sum before the neuron: without any training the features are the teacher's."""
    from mmdet.models import ResNet

    teacher = ResNet(18, base_channels=8, stem_channels=8, norm_cfg=dict(type="BN"))
    teacher.eval()  # returns nothing
    student = backbone(most=255, time_steps=1).eval()
    student.load_state_dict(teacher.state_dict(), strict=False)
    batches = images(1)
    calibrate(student, batches, 1)
    with torch.no_grad():
        for got, want in zip(student(*batches[0]), teacher(*batches[0]), strict=True):
            assert (got - want).square().sum() < 1e-3 * want.square().sum()


@pytest.mark.parametrize("depth", [18, 50])
def test_outputs_that_are_summed_share_their_steps(depth):
    """SEW's ADD: all neurons on the way of the shortcut, from one change of width to the next."""
    model = backbone(SEWResNet, depth)
    calibrate(model, images(), 2)
    chain = [model.sn1] if depth == 18 else []
    for name in model.res_layers:
        blocks = getattr(model, name)
        if blocks[0].downsample_sn is not None:
            chain = [blocks[0].downsample_sn]
        chain += [getattr(block, f"sn{block.convolutions}") for block in blocks]
        for neuron in chain[1:]:
            assert torch.equal(neuron.node.threshold, chain[0].node.threshold)
        inner = blocks[0].sn1.node.threshold
        assert inner.shape != chain[0].node.threshold.shape or not torch.equal(
            inner, chain[0].node.threshold
        )


def test_the_sum_before_the_neuron_leaves_every_layer_its_own():
    model = backbone(SpikingResNet)
    calibrate(model, images(), 2)
    blocks = model.layer1
    assert not torch.equal(blocks[0].sn2.node.threshold, blocks[1].sn2.node.threshold)


def test_levels_that_share_weights_share_their_steps():
    cfg = detector()
    for part in ("backbone", "neck", "bbox_head"):
        cfg[part]["neuron"] = dict(type="NILIFNode", D=4)
    model = RawModel(lively(cfg))
    calibrate(model, [(torch.randn(1, 3, 64, 64),)], 1)
    levels = model.model.bbox_head.cls_convs
    steps = [level[-1].activate.node.threshold for level in levels]
    assert len(steps) > 1 and all(torch.equal(step, steps[0]) for step in steps)


def test_a_silent_channel_gets_a_threshold():
    model = OneLayer(4)
    x = torch.rand(4, 3, 8, 8)
    x[:, 1] = -1
    calibrate(model, [(x,)], 1)
    assert (model.node.threshold > 0).all()


def test_other_neurons_have_nothing_to_calibrate():
    model = SpikingResNet(18, base_channels=8, stem_channels=8)
    assert calibrate(model, iter(()), 3) == {}


def test_bad_input_is_named():
    model = OneLayer(4)
    with pytest.raises(UserError, match="num_batches=0"):
        calibrate(model, images(), 0)
    with pytest.raises(UserError, match="by='pixel'"):
        calibrate(model, images(), 1, by="pixel")
    with pytest.raises(UserError, match="the loader is empty"):
        calibrate(model, [], 1)
    assert (model.node.threshold == 2).all()


def thresholds(model: nn.Module) -> list[torch.Tensor]:
    return [m.threshold.clone() for m in model.modules() if isinstance(m, NILIFNode)]


def write_thresholds(model: nn.Module, batches: list, folder: Path) -> None:
    dist.init_process_group("gloo")
    calibrate_on([batches[dist.get_rank()]], model, 1)
    torch.save(thresholds(model), folder / f"{dist.get_rank()}.pt")


@pytest.mark.slow
def test_processes_take_the_mean_of_what_each_finds(tmp_path):
    model, batches = backbone(time_steps=1), images()
    run_group(tmp_path, write_thresholds, model, batches, tmp_path)
    alone = []
    for batch in batches:
        calibrate(model, [batch], 1)
        alone.append(thresholds(model))
    assert not torch.equal(alone[0][0], alone[1][0])
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for threshold, first, second in zip(found, *alone, strict=True):
            torch.testing.assert_close(threshold, (first + second) / 2)
