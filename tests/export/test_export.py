"""What is exported gives what the backbone gives; what a format cannot express is named."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from sakd_dense.backbones import SEWResNet_CIFAR, SpikingResNet_CIFAR
from sakd_dense.export import ExportError, RawModel, export_nir, export_onnx, run_onnx
from sakd_dense.export.onnx import flat
from tests.backbones.test_resnet import CONNECTS, excite, small
from tests.parts.models import decoder, detector, lively

HARD_LIF = dict(type="LIFNode", tau=2.0, v_reset=0.0, decay_input=False)
HARD_IF = dict(type="IFNode", v_reset=0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "depth,connect,neuron",
    [
        *[(18, c, None) for c in CONNECTS],
        (50, "ADD", HARD_IF),
        (18, "ADD", dict(HARD_LIF, decay_input=True, v_reset=0.1)),
    ],
)
def test_onnx_of_a_backbone(tmp_path, depth, connect, neuron):
    model = excite(small(depth, connect=connect, neuron=neuron, time_steps=3)).eval()
    images = torch.randn(2, 3, 64, 64)
    assert export_onnx(model, tmp_path / "a.onnx", images) == 0.0
    with torch.no_grad():
        own = model(images)
    for a, b in zip(run_onnx(tmp_path / "a.onnx", images), own, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
        assert b.any()
    assert not any("forward" in n.__dict__ for n in model.neurons)  # the model is left as it was


@pytest.mark.slow
@pytest.mark.parametrize("cfg", [detector(), decoder()], ids=["detector", "segmentor"])
def test_onnx_of_a_model_that_spikes_throughout(tmp_path, cfg):
    model = RawModel(lively(cfg)).eval()
    images = torch.randn(1, 3, 64, 64)
    assert export_onnx(model, tmp_path / "a.onnx", images) == 0.0
    with torch.no_grad():
        own = flat(model(images))
    for a, b in zip(run_onnx(tmp_path / "a.onnx", images), own, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def cifar(depth=18, connect="ADD", neuron=HARD_LIF, **kwargs):
    kind = SpikingResNet_CIFAR if connect == "BEFORE" else SEWResNet_CIFAR
    args = dict(base_channels=8, time_steps=3, connect=connect, neuron=neuron, **kwargs)
    model = excite(kind(depth, **args)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # neurons that leak fire in the last stage, too
            nn.init.uniform_(module.bias, 0.5, 1.5)
    return model


@pytest.mark.parametrize("neuron", [HARD_LIF, HARD_IF, dict(HARD_LIF, decay_input=True)])
@pytest.mark.parametrize("connect", ["ADD", "BEFORE"])
@pytest.mark.parametrize("depth", [18, 50])
def test_nir_read_back_is_the_backbone(tmp_path, depth, connect, neuron):
    model = cifar(depth, connect, neuron)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert model(images)[-1].any()
    assert export_nir(model, tmp_path / "a.nir", images) < 1e-5
    assert (tmp_path / "a.nir").is_file()


def test_nir_of_an_earlier_stage(tmp_path):
    assert export_nir(cifar(), tmp_path / "a.nir", torch.randn(1, 3, 32, 32), stage=1) < 1e-5


@pytest.mark.parametrize(
    "make,says",
    [
        (lambda: small(18, neuron=HARD_LIF), "no max pooling, which SEWResNet has"),
        (lambda: cifar(neuron="LIFNode", connect="AND"), "layer1.0: .*connect='AND' multiplies"),
        (lambda: cifar(neuron=dict(type="LIFNode", v_reset=None)), "sn1: .*v_reset=None"),
        (lambda: cifar(neuron="ParametricLIFNode"), "not ParametricLIFNode"),
        (lambda: cifar(50, groups=2, base_width=8), "layer1.0.conv2: .*groups=2"),
        (lambda: cifar(norm_cfg=dict(type="GN", num_groups=4)), "GroupNorm cannot be folded"),
    ],
)
def test_what_nir_cannot_express_is_named(tmp_path, make, says):
    with pytest.raises(ExportError, match=says):
        export_nir(make(), tmp_path / "a.nir", torch.randn(1, 3, 32, 32))
    assert not list(tmp_path.iterdir())


def test_neurons_that_onnx_cannot_have_are_named(tmp_path):
    model = MODELS.build(dict(type="SEWResNet", depth=18, base_channels=8, neuron="QIFNode")).eval()
    with pytest.raises(ExportError, match="sn1: IF and LIF neurons are exported, not QIFNode"):
        export_onnx(model, tmp_path / "a.onnx", torch.randn(1, 3, 32, 32))
    assert not list(tmp_path.iterdir())


def test_a_file_that_gives_something_else_is_not_written(tmp_path):
    model = excite(small(18)).eval()
    with pytest.raises(ExportError, match="nothing was written"):
        export_onnx(model, tmp_path / "a.onnx", torch.randn(1, 3, 32, 32), tolerance=-1.0)
    assert not list(tmp_path.iterdir())
