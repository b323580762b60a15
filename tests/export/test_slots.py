"""Counts unrolled into binary slots: the same outputs, and no layer multiplies by a count."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from sakd_dense.export import unroll
from sakd_dense.export.inputs import RawModel
from sakd_dense.export.onnx import flat
from sakd_dense.export.slots import OverSlots
from sakd_dense.transfer import calibrate
from tests.helpers.spiking_models import decoder, detector, lively

NODES = [dict(type="NILIFNode", D=4), dict(type="ILIFNode", D=3)]


def backbone(name, depth, neuron, **arguments):
    args = dict(base_channels=8, stem_channels=8, neuron=neuron, **arguments)
    if "NeXt" in name:
        args.update(groups=2, base_width=8)
    model = MODELS.build(dict(type=name, depth=depth, **args))
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, 0, 1)
        norm.running_mean.normal_(0, 0.1)
    return model.eval()


def assert_unrolled(model, images, multiply):
    """Equal to 1e-5 in double precision, where no count flips by rounding; binary inputs alone."""
    model = model.double()
    copy, unrolled, multiplying = unroll(model, lambda m: m(images))
    assert multiplying == multiply
    read = []
    for layer in (m for m in copy.modules() if isinstance(m, OverSlots)):
        layer.layer.register_forward_pre_hook(lambda _, args: read.append(args[0].unique()))
    with torch.no_grad():
        got, want = flat(copy(images)), flat(model(images))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        assert b.std() > 0
    assert len(read) >= len(unrolled) > 0
    assert all(set(values.tolist()) <= {0.0, 1.0} for values in read)
    assert any(len(values) == 2 for values in read)


@pytest.mark.parametrize("node", NODES, ids=["NI-LIF", "I-LIF"])
@pytest.mark.parametrize("time_steps", [1, 2])
@pytest.mark.parametrize(
    ("name", "depth"),
    [
        (f"{family}{kind}", depth)
        for family in ("SEW", "Spiking")
        for kind, depth in (
            ("ResNet", 18),
            ("ResNet", 50),
            ("ResNetV1c", 18),
            ("ResNeXt", 50),
            ("ResNet_CIFAR", 18),
        )
    ],
)
def test_backbones(node, time_steps, name, depth):
    model = backbone(name, depth, node, time_steps=time_steps)
    images = torch.randn(2, 3, 32, 32)
    if node["type"] == "NILIFNode":
        calibrate(model, [(images,)], 1)
    first = "stem.0" if name.endswith("V1c") else "conv1"
    assert_unrolled(model, images.double(), [first])


def test_averages_multiply():
    """V1d's shortcuts read the mean of four pixels."""
    model = backbone("SpikingResNetV1d", 50, NODES[0], time_steps=1)
    shortcuts = [f"layer{i}.0.downsample.1" for i in (2, 3, 4)]
    _, _, multiplying = unroll(model, lambda m: m(torch.randn(1, 3, 64, 64)))
    assert multiplying[0] == "stem.0" and set(shortcuts) <= set(multiplying)


def classifier():
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(type="SpikingResNet", depth=18, base_channels=8, stem_channels=8),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(type="mmpretrain.LinearClsHead", num_classes=5, in_channels=64),
    )


@pytest.mark.parametrize(
    ("cfg", "multiply"),
    [
        (detector, []),
        (decoder, []),
        (classifier, ["model.head.fc"]),  # it reads averages over pixels
    ],
)
def test_whole_models(cfg, multiply):
    config = cfg()
    for part in ("backbone", "neck", "bbox_head", "decode_head"):
        if "type" in config.get(part, {}) and not config[part]["type"].startswith("mmpretrain"):
            config[part]["neuron"] = NODES[0]
    model = RawModel(lively(config)).eval()
    images = torch.randn(1, 3, 64, 64)
    calibrate(model, [(images,)], 1)
    assert_unrolled(model, images.double(), ["model.backbone.conv1", *multiply])


def test_a_binary_student_has_nothing_to_unroll():
    model = backbone("SpikingResNet", 18, dict(type="LIFNode"), time_steps=2)
    assert unroll(model, lambda m: m(torch.randn(1, 3, 32, 32)))[1] == []
