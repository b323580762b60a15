"""Folding BatchNorm into the convolutions changes nothing but the modules."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sakd_dense.backbones import SEWResNet
from sakd_dense.backbones.folding import optimize_for_inference

FAMILIES = [
    (f"{kind}{stem}", depth)
    for kind in ("SEW", "Spiking")
    for stem in ("ResNet", "ResNetV1c", "ResNetV1d", "ResNet_CIFAR", "ResNeXt")
    for depth in ((50,) if stem == "ResNeXt" else (18, 50))
]


def build(family, depth=18, **kwargs):
    """In float64, where no spike flips by rounding, and with statistics by which all spike."""
    torch.manual_seed(0)
    cfg = dict(type=family, depth=depth, base_channels=8, time_steps=3, **kwargs)
    bias = 3.0 if kwargs.get("connect") == "AND" else 1.0  # of factors, one at 0 silences all
    return with_statistics(MODELS.build(cfg).double(), bias)


def with_statistics(model, bias=1.0):
    for m in model.modules():
        if isinstance(m, _BatchNorm):
            nn.init.uniform_(m.weight, 0.5, 2.0)
            nn.init.uniform_(m.bias, 0.0, bias)
            nn.init.normal_(m.running_mean, 0.0, 0.1)
            nn.init.uniform_(m.running_var, 0.5, 1.5)
    return model


ANNS = [
    *[f"mmdet.{kind}" for kind in ("ResNet", "ResNetV1d", "ResNeXt")],
    *[f"mmseg.{kind}" for kind in ("ResNet", "ResNetV1c", "ResNetV1d", "ResNeXt")],
    *[f"mmpretrain.{kind}" for kind in ("ResNet", "ResNetV1c", "ResNet_CIFAR", "ResNeXt")],
]


@pytest.mark.parametrize("kind", ANNS)
@pytest.mark.parametrize("depth", [18, 50])
@torch.no_grad()
def test_a_quickened_ann_gives_its_features(kind, depth):
    if kind.endswith("ResNeXt") and depth == 18:
        depth = 101
    scope = kind.partition(".")[0]
    init_default_scope(scope)
    args = dict(out_indices=(0, 1, 2, 3)) if scope == "mmpretrain" else {}
    model = with_statistics(MODELS.build(dict(type=kind, depth=depth, **args)))
    model.eval()
    x = torch.rand(2, 3, 64, 64)
    before = model(x)
    assert optimize_for_inference(model) is model
    after = model(x)
    assert not norms(model)
    for a, b in zip(after, before, strict=True):
        assert a.is_contiguous()
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * b.abs().max())


def norms(model):
    return [n for n, m in model.named_modules() if isinstance(m, _BatchNorm)]


def assert_folding_keeps_the_features(model, left=()):
    x = torch.rand(2, 3, 64, 64).double()
    model.eval()
    with torch.no_grad():
        before = model(x)
        assert model.fuse() is model
        after = model(x)
    assert norms(model) == list(left)
    for a, b in zip(after, before, strict=True):
        assert b.any()
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family,depth", FAMILIES)
def test_every_family(family, depth):
    grouped = dict(groups=4, base_width=8) if family.endswith("ResNeXt") else {}
    assert_folding_keeps_the_features(build(family, depth, **grouped))


@pytest.mark.parametrize("connect", SEWResNet.connects)
def test_every_connect(connect):
    assert_folding_keeps_the_features(build("SEWResNet", connect=connect))


@pytest.mark.parametrize("family", ["SEWResNet", "SpikingResNet"])
@pytest.mark.parametrize("kind", ["ILIFNode", "NILIFNode"])
def test_neurons_that_fire_integers(family, kind):
    assert_folding_keeps_the_features(build(family, neuron=dict(type=kind, D=4)))


def test_a_backbone_in_training_is_folded_by_its_running_statistics():
    model = build("SEWResNet", frozen_stages=1)
    assert_folding_keeps_the_features(model.train())
    assert not model.training


def test_a_convolution_that_changes_its_weights_keeps_its_norm():
    model = build("SEWResNet", conv_cfg=dict(type="ConvAWS"))
    assert_folding_keeps_the_features(model, norms(model))


def test_other_norms_stay():
    cfg = dict(type="SEWResNet", depth=18, base_channels=8, norm_cfg=dict(type="GN", num_groups=2))
    model = MODELS.build(cfg).eval()
    keys = list(model.state_dict())
    assert list(model.fuse().state_dict()) == keys
