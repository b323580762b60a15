"""What is exported gives what the backbone gives; what a format cannot express is named."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from sakd_dense.export import (
    ExportError,
    RawModel,
    export_nir,
    export_onnx,
    first_image,
    run_nir,
    run_onnx,
)
from sakd_dense.export.onnx import flat
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.runtime.errors import UserError
from tests.helpers.residual_backbones import CONNECTS, excite, small
from tests.helpers.scenes import build, segmentor
from tests.helpers.spiking_models import decoder, detector, lively
from tests.helpers.upstream_backbones import images as noise
from tests.helpers.upstream_backbones import lively as upstream

HARD_LIF = dict(type="LIFNode", tau=2.0, v_reset=0.0, decay_input=False)
HARD_IF = dict(type="IFNode", v_reset=0.0)


#: The exporter takes seconds a stage, and the last two have nothing that these have not.
TWO = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1))


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
    model = excite(small(depth, connect=connect, neuron=neuron, time_steps=3, **TWO)).eval()
    images = torch.randn(2, 3, 64, 64)
    assert export_onnx(model, tmp_path / "a.onnx", images) == 0.0
    with torch.no_grad():
        own = model(images)
    for a, b in zip(run_onnx(tmp_path / "a.onnx", images), own, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
        assert b.any()
    assert not any("forward" in n.__dict__ for n in model.neurons)  # the model is left as it was


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mmdet.CSPDarknet", "mmseg.CGNet"])
def test_onnx_of_a_backbone_that_runs_upstreams_forward(tmp_path, name):
    """The layers before the first neurons once, or T times."""
    assert export_onnx(upstream(name), tmp_path / "a.onnx", noise()) < 0.01


@pytest.mark.parametrize("cfg", [detector(), decoder()], ids=["detector", "segmentor"])
def test_onnx_of_a_model_that_spikes_throughout(tmp_path, cfg):
    model = RawModel(lively(cfg)).eval()
    images = torch.randn(1, 3, 64, 64)
    assert export_onnx(model, tmp_path / "a.onnx", images) == 0.0
    with torch.no_grad():
        own = flat(model(images))
    for a, b in zip(run_onnx(tmp_path / "a.onnx", images), own, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def network(name="SEWResNet", depth=18, neuron=HARD_LIF, **kwargs):
    """A narrow backbone whose every layer fires."""
    args = dict(base_channels=8, stem_channels=8, time_steps=3, neuron=neuron, **kwargs)
    if "NeXt" in name:
        args.update(groups=2, base_width=8)
    model = excite(MODELS.build(dict(type=name, depth=depth, **args))).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # neurons that leak fire in the last stage, too
            nn.init.uniform_(module.bias, 0.5, 1.5)
    return model


@pytest.mark.parametrize(
    "name,depth",
    [
        (f"{kind}ResN{rest}", depth)
        for kind in ("SEW", "Spiking")
        for rest, depth in (
            ("et", 18),
            ("et", 50),
            ("etV1c", 18),
            ("etV1d", 50),
            ("eXt", 50),
            ("et_CIFAR", 18),
            ("et_CIFAR", 50),
        )
    ],
)
def test_nir_read_back_is_the_backbone(tmp_path, name, depth):
    model = network(name, depth)
    images = torch.randn(2, 3, *((32, 48) if "CIFAR" in name else (64, 96)))
    with torch.no_grad():
        assert model(images)[-1].any()
    assert export_nir(model, tmp_path / "a.nir", images) < 1e-8
    assert (tmp_path / "a.nir").is_file()


@pytest.mark.parametrize("neuron", ["NILIFNode", "ILIFNode"])
@pytest.mark.parametrize("name", ["SpikingResNet", "SEWResNetV1d", "SpikingResNet_CIFAR"])
def test_nir_of_counts_at_one_step(tmp_path, name, neuron):
    """Max pooling of counts included: it pools every slot."""
    model = network(name, 18, dict(type=neuron, D=3))
    model.time_steps = 1
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, SpikingNeuron) and module.scale is not None:
                module.node.threshold.uniform_(0.5, 3.0)
    images = torch.randn(2, 3, *((32, 48) if "CIFAR" in name else (64, 96)))
    with torch.no_grad():
        assert model(images)[-1].unique().numel() >= 4
    assert export_nir(model, tmp_path / "a.nir", images) < 1e-8
    model.time_steps = 2
    with pytest.raises(ExportError, match="integers only at T=1, .*has T=2"):
        export_nir(model, tmp_path / "b.nir", images)


def test_nir_that_gives_something_else_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("sakd_dense.export.nir.run_nir", lambda _f, images, *_: images.sum())
    with pytest.raises(ExportError, match="a.nir, .*differs .*nothing was written"):
        export_nir(network("SEWResNet_CIFAR"), tmp_path / "a.nir", torch.randn(1, 3, 32, 32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("neuron", [HARD_IF, dict(HARD_LIF, decay_input=True)])
def test_nir_of_other_neurons(tmp_path, neuron):
    model = network("SEWResNet_CIFAR", neuron=neuron)
    assert export_nir(model, tmp_path / "a.nir", torch.randn(2, 3, 32, 32)) < 1e-8


def test_nir_of_an_earlier_stage(tmp_path):
    images, model = torch.randn(1, 3, 32, 32), network(out_indices=(1, 3), output="sequence")
    assert export_nir(model, tmp_path / "a.nir", images, stage=1) < 1e-8
    with pytest.raises(ExportError, match=r"stage=2: the backbone returns the stages \(1, 3\)"):
        export_nir(model, tmp_path / "b.nir", images, stage=2)


def spiking_fcn(**head):
    cfg = decoder()
    cfg["backbone"].update(neuron=HARD_LIF)
    cfg["decode_head"].update(neuron=HARD_LIF, **head)
    return cfg


def of_counts(cfg):
    """``cfg`` with neurons that fire integers, in one time step."""
    for part in (cfg["backbone"], cfg.get("decode_head", {})):
        part.update(neuron=dict(type="NILIFNode", D=3))
    cfg["backbone"].update(time_steps=1)
    return cfg


def classifier():
    return dict(
        type="mmpretrain.ImageClassifier",
        data_preprocessor=dict(type="mmpretrain.ClsDataPreprocessor"),
        backbone=dict(
            type="SEWResNet",
            depth=18,
            base_channels=8,
            stem_channels=8,
            time_steps=3,
            neuron=HARD_LIF,
        ),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(type="mmpretrain.LinearClsHead", num_classes=5, in_channels=64),
    )


@pytest.mark.parametrize(
    "cfg",
    [
        spiking_fcn(num_convs=2, concat_input=True),
        spiking_fcn(num_convs=1, concat_input=False, dilation=2),
        classifier(),
        of_counts(spiking_fcn(num_convs=2, concat_input=True)),
        of_counts(classifier()),
    ],
    ids=["FCN", "FCN-dilated", "classifier", "FCN-counts", "classifier-counts"],
)
def test_nir_of_a_model_gives_its_logits(tmp_path, cfg):
    model = lively(cfg).eval()
    excite(model.backbone)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        own = RawModel(model.double())(images.double())
    assert own.std() > 1e-2 and (own[0] - own[1]).abs().max() > 1e-2
    assert export_nir(model.float(), tmp_path / "a.nir", images) < 1e-8
    found = run_nir(tmp_path / "a.nir", images.double(), model.backbone.time_steps)
    torch.testing.assert_close(found, own, atol=1e-8, rtol=0)
    assert next(model.parameters()).dtype == torch.float32  # left as it was


def fcn_of_an_ann():
    cfg = segmentor(time_steps=3, stem_channels=8, neuron=HARD_LIF)
    return build(cfg)


@pytest.mark.parametrize(
    "make,says",
    [
        (lambda: network(neuron="LIFNode", connect="AND"), "layer1.0: .*connect='AND' multiplies"),
        (lambda: network(neuron=dict(type="LIFNode", v_reset=None)), "sn1: .*v_reset=None"),
        (lambda: network(neuron=dict(type="LIFNode", v_init=0.5)), "sn1: .*v_init=0.5"),
        (lambda: network(neuron="ParametricLIFNode"), "not ParametricLIFNode"),
        (
            lambda: network(
                depth=50,
                dcn=dict(type="DCNv2", deform_groups=1),
                stage_with_dcn=(False, False, False, True),
            ),
            "layer4.0.conv2: .*not ModulatedDeformConv2dPack",
        ),
        (lambda: network(norm_cfg=dict(type="GN", num_groups=4)), "GroupNorm cannot be folded"),
        (lambda: network("SEWResNetV1d", 50), "layer3.0.downsample.0: .*3x3 is not a multiple"),
        (lambda: build(detector()), "SpikingFPN: .*export the backbone"),
        (fcn_of_an_ann, "FCNHead: .*supports SpikingFCNHead"),
        (lambda: build(decoder()), "v_reset=None"),
    ],
)
def test_what_nir_cannot_express_is_named(tmp_path, make, says):
    with pytest.raises(ExportError, match=says):
        export_nir(make().eval(), tmp_path / "a.nir", torch.randn(1, 3, 24, 24))
    assert not list(tmp_path.iterdir())


def test_nir_is_of_resnets(tmp_path):
    with pytest.raises(ExportError, match="SpikingUNet: the NIR export supports ResNets only"):
        export_nir(upstream("mmseg.UNet"), tmp_path / "a.nir", noise())


def test_neurons_that_onnx_cannot_have_are_named(tmp_path):
    model = MODELS.build(dict(type="SEWResNet", depth=18, base_channels=8, neuron="QIFNode")).eval()
    with pytest.raises(
        ExportError, match="only IF, LIF, I-LIF and NI-LIF neurons can be exported, not QIFNode"
    ):
        export_onnx(model, tmp_path / "a.onnx", torch.randn(1, 3, 32, 32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("beyond,refused", [(3, False), (5, True)])
def test_an_onnx_file_may_differ_as_rounding_does(tmp_path, monkeypatch, beyond, refused):
    """Refused is what differs by more than four times what rounding alone does."""
    from sakd_dense.export import onnx

    shares = iter([beyond * 0.01, 0.01])
    monkeypatch.setattr(onnx, "differing", lambda *_: next(shares))
    model = excite(small(18, time_steps=1, **TWO)).eval()
    call = (model, tmp_path / "a.onnx", torch.randn(1, 3, 32, 32))
    if refused:
        with pytest.raises(ExportError, match="5.00 % .*1.00 % by rounding.*nothing was written"):
            export_onnx(*call)
        assert not list(tmp_path.iterdir())
    else:
        assert export_onnx(*call) == 0.03 and (tmp_path / "a.onnx").is_file()


@pytest.mark.parametrize("cfg", [dict(), dict(test_dataloader=None)])
def test_a_config_without_a_test_set_is_named(cfg):
    with pytest.raises(UserError, match="test_dataloader is missing or None.*set test_dataloader"):
        first_image(Config(cfg), nn.Identity())
