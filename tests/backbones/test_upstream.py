"""Upstream's convolutional backbones, spiking by one word: a property, over the whole family."""

import copy
import pickle
from functools import partial

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from sakd_dense.backbones import UpstreamBackbone, declare_backbone
from sakd_dense.backbones.declared import UPSTREAM
from sakd_dense.backbones.packing import PackedConv2d
from sakd_dense.config.twins import ann_of, spiking_of
from sakd_dense.config.types import BACKBONE_TWINS
from sakd_dense.distill.teacher import ready
from sakd_dense.neurons.activations import ACTIVATIONS
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.transfer import calibrate, transfer
from tests.helpers.upstream_backbones import (
    ARCHETYPES,
    CASES,
    NAMES,
    ann,
    built,
    config,
    images,
    lively,
)

COUNTS = dict(type="NILIFNode", D=4)
FAMILY = [
    n if n in ARCHETYPES else pytest.param(n, marks=[pytest.mark.slow, pytest.mark.nightly])
    for n in NAMES
]
# Their BatchNorm comes behind activations, or behind convolutions that pad by themselves.
UNFOLDED = ("mmdet.EfficientNet", "mmpretrain.ConvMixer")


class Model(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def features(model, x):
    """What the readout gives, a tuple of ``[B, ...]``."""
    found = model(x)
    return (found,) if isinstance(found, torch.Tensor) else tuple(found)


@pytest.fixture
def declare():
    """``declare_backbone``, undone behind the test."""
    before = dict(BACKBONE_TWINS)
    yield declare_backbone
    for name in set(BACKBONE_TWINS) - set(before):
        BACKBONE_TWINS.pop(name)
        MODELS.module_dict.pop(name)


def test_every_declared_backbone_is_tested():
    assert set(UPSTREAM) == {kind for _, kind in CASES}


def parameters_are_the_anns_and_no_activation_is_left(name):
    package, kind = name.split(".")
    model, twin = lively(name), ann(name)
    assert type(twin).__name__ == kind and not isinstance(twin, UpstreamBackbone)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (model, twin)]
    prelus = [n for n, m in twin.named_modules() if isinstance(m, nn.PReLU)]
    assert shapes[0] == {k: v for k, v in shapes[1].items() if k.rpartition(".")[0] not in prelus}
    assert model.neurons and not [m for m in model.modules() if isinstance(m, ACTIVATIONS)]
    model_cfg = dict(type="Model", backbone=config(name))
    again = spiking_of(ann_of(model_cfg), 3, package)["backbone"]
    assert again["type"] == f"Spiking{kind}"


def gradients_of_one_image_at_a_time_are_those_of_both(name, neuron=None):
    """At T = 1 as well, where one image in channels last has no stride of its own."""
    model, x = lively(name), images().double()
    if neuron is not None:
        counting = built({**config(name), "neuron": neuron}, name.split(".")[0])
        counting.load_state_dict(model.state_dict(), strict=False)  # all but the thresholds
        model = counting.eval()
    model.double().time_steps = 3 if neuron is None else 1

    def gradients(x):
        model.zero_grad()
        sum(o.square().mean() for o in features(model, x)).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    both, first, second = gradients(x), gradients(x[:1]), gradients(x[1:])
    assert any(grad.any() for grad in both.values())
    for name, grad in both.items():
        mean = (first[name] + second[name]) / 2
        torch.testing.assert_close(mean, grad, msg=lambda m, n=name: n + m)


@torch.no_grad()
def what_comes_before_the_first_neurons_is_computed_once(name):
    """To the values of images that are repeated T times before the first layer."""
    model, x = lively(name), images()
    seen = []
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    once = features(model, x)
    assert seen[0] == len(x) * (3 if model.repeats_images else 1)
    model.repeats_images = True
    for a, b in zip(once, features(model, x), strict=True):
        assert len(a) == len(x) and a.any()
        torch.testing.assert_close(a, b)


@torch.no_grad()
def every_t_is_a_prefix_of_one_pass(name):
    model, x = lively(name), images()
    model.output = "sequence"
    whole = features(model, x)
    model.time_steps = 2
    for s, t in zip(whole, features(model, x), strict=True):
        torch.testing.assert_close(s[:2], t)
    frames = x.expand(2, *x.shape)  # as event frames
    for s, t in zip(whole, features(model, frames), strict=True):
        torch.testing.assert_close(s[:2], t)


def level_1_takes_the_anns_checkpoint_and_says_what_it_leaves(name, alone, folder):
    twin, model = (nn.ModuleDict(dict(backbone=m)) for m in (ann(name), lively(name)))
    saved = twin["backbone"] if alone else twin
    torch.save(saved.state_dict(), folder / "ann.pth")
    report = transfer(model, str(folder / "ann.pth"))
    prelus = {f"{n}.weight" for n, m in saved.named_modules() if isinstance(m, nn.PReLU)}
    assert set(report.loaded) == set(model.state_dict()) and set(report.left) == prelus
    for key, value in model.state_dict().items():
        assert torch.equal(value, twin.state_dict()[key])


@torch.no_grad()
def counts_are_whole_numbers_of_a_calibrated_step(name):
    cfg = config(name) | dict(neuron=dict(type="NILIFNode", D=4), time_steps=1)
    model = built(cfg, name.split(".")[0])
    model.load_state_dict(lively(name).state_dict(), strict=False)
    calibrate(model.eval(), [images()], 1)
    seen = []
    for neuron in model.neurons:
        neuron.register_forward_hook(lambda n, args, out: seen.append(n.spikes_of(out)))
    features(model, images())
    assert any(counts.any() for counts in seen)
    for counts in seen:
        torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)
        assert counts.min() >= 0 and counts.max() <= 4.001


def it_is_trained_copied_and_pickled(name):
    model, x = lively(name).train(), images()
    sum(f.square().mean() for f in features(model, x)).backward()
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert first.weight.grad.any() and all(
        p.grad.isfinite().all() for p in model.parameters() if p.grad is not None
    )
    model.eval()
    wanted = features(model, x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model.state_dict()))):
        if isinstance(other, dict):
            model.load_state_dict(other)
            other = model
        for a, b in zip(wanted, features(other, x), strict=True):
            torch.testing.assert_close(a, b)


@torch.no_grad()
def folding_batchnorm_keeps_the_features(name):
    model, x = lively(name).double(), images().double()
    before = features(model, x)
    folded = features(model.fuse(), x)
    for a, b in zip(before, folded, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def a_teacher_made_quick_keeps_its_features(name):
    twin = copy.deepcopy(ann(name))
    twin.load_state_dict(lively(name).state_dict(), strict=False)
    twin, x = twin.double(), images().double()
    twin.eval()  # mmdet's gives None
    before = features(twin, x)
    layers = [type(m) for m in twin.modules()]
    ready(Model(twin), Model(lively(name)))
    folded = sum(isinstance(m, PackedConv2d) for m in twin.modules())
    assert folded or nn.BatchNorm2d not in layers or name in UNFOLDED
    for a, b in zip(before, features(twin, x), strict=True):
        assert b.is_contiguous()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


PROPERTIES = (
    parameters_are_the_anns_and_no_activation_is_left,
    gradients_of_one_image_at_a_time_are_those_of_both,
    partial(gradients_of_one_image_at_a_time_are_those_of_both, neuron=COUNTS),
    what_comes_before_the_first_neurons_is_computed_once,
    every_t_is_a_prefix_of_one_pass,
    counts_are_whole_numbers_of_a_calibrated_step,
    it_is_trained_copied_and_pickled,
    folding_batchnorm_keeps_the_features,
    a_teacher_made_quick_keeps_its_features,
)


@pytest.mark.parametrize("name", FAMILY)
def test_every_property(name, tmp_path):
    checks = [*PROPERTIES]
    for alone in (False, True):
        check = level_1_takes_the_anns_checkpoint_and_says_what_it_leaves
        checks.append(partial(check, alone=alone, folder=tmp_path))
    for check in checks:
        torch.manual_seed(0)
        try:
            check(name)
        except Exception as error:
            error.add_note(f"{name}: {check}")
            raise


@pytest.mark.parametrize(
    "package, cfg, says",
    [
        ("mmdet", dict(type="SwinTransformer"), "has attention .*swin.py:"),
        ("mmdet", dict(type="PyramidVisionTransformer"), "has attention .*pvt.py:"),
        ("mmpretrain", dict(type="LeNet5"), "has no activation that a neuron could replace"),
        (
            "mmdet",
            dict(type="CSPDarknet", connect="ADD"),
            "connect='ADD' applies to ResNets only; leave it out",
        ),
        (
            "mmseg",
            dict(type="CSPDarknet"),
            "'CSPDarknet' is not in the registry of the scope 'mmseg'",
        ),
    ],
)
def test_what_cannot_spike_is_refused_by_name(package, cfg, says, declare):
    name = f"Spiking{cfg['type']}"
    if name not in BACKBONE_TWINS:
        declare(cfg["type"])
    with pytest.raises(ValueError, match=says):
        built({**cfg, "type": name}, package)


def test_branches_in_the_batch_axis_are_refused(declare):
    declare("TridentResNet")
    cfg = dict(
        type="SpikingTridentResNet",
        depth=50,
        base_channels=8,
        num_branch=3,
        test_branch_idx=1,
        trident_dilations=(1, 2, 3),
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    )
    model = built(cfg, "mmdet").train()
    with pytest.raises(ValueError, match="branches into the batch axis"):
        model(images())


def test_sew_is_for_resnets():
    model = dict(type="YOLOX", backbone=dict(type="CSPDarknet"))
    with pytest.raises(ValueError, match="SEW connects the blocks of ResNets"):
        spiking_of(model, family="SEW")


class MyNet(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.act = nn.ReLU()
        self.again = self.act

    def forward(self, x):
        x = self.act(self.conv(x))
        return (x, self.again(x))


class Functional(MyNet):
    def forward(self, x):
        return (nn.functional.relu(self.act(self.conv(x))),)


def test_activations_that_are_functions_are_refused_where_they_are(declare):
    declare(Functional)
    with pytest.raises(ValueError, match=r"calls relu as a function, test_upstream.py:\d+ in forw"):
        built(dict(type="SpikingFunctional"), "mmdet")


def test_a_backbone_of_your_own_is_declared_in_one_line(declare):
    declare(MyNet)
    cfg = dict(type="Model", backbone=dict(type="MyNet"))
    assert spiking_of(cfg)["backbone"] == dict(type="SpikingMyNet", time_steps=4)
    model = built(dict(type="SpikingMyNet", width=6, time_steps=2), "mmdet")
    assert [type(m) for m in (model.act, model.again)] == [SpikingNeuron] * 2
    assert [f.shape for f in model(images(16))] == [(2, 6, 16, 16)] * 2


class Viewing(MyNet):
    """Reads images as vectors, as VGG with a classifier."""

    def forward(self, x):
        last = super().forward(x)[-1]
        return last, last.view(len(last), -1)


@torch.no_grad()
def test_a_teacher_that_reads_images_as_vectors_keeps_their_layout(declare):
    declare(Viewing)
    student, teacher = built(dict(type="SpikingViewing", time_steps=2), "mmdet"), Viewing().eval()
    before = teacher(images(16))
    ready(Model(teacher), Model(student))
    torch.testing.assert_close(teacher(images(16)), before)
    assert not student.channels_last and student(images(16))[1].shape == before[1].shape
