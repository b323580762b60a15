"""Upstream's ``dcn`` and ``plugins`` in a spiking backbone."""

import pytest
import torch
from mmcv.ops import DeformConv2d
from mmdet.models.backbones import ResNet
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torchvision.ops import deform_conv2d

from sakd_dense.backbones.folding import optimize_for_inference

FAMILIES = ["SEWResNet", "SEWResNetV1d", "SEWResNeXt", "SpikingResNet"]
DCNS = [dict(type="DCN", deform_groups=2), dict(type="DCNv2", deform_groups=1)]
STAGES = (False, True, True, True)
PLUGINS = [
    dict(cfg=dict(type="ContextBlock", ratio=0.25), stages=STAGES, position="after_conv3"),
    dict(
        cfg=dict(
            type="GeneralizedAttention",
            spatial_range=-1,
            num_heads=4,
            attention_type="0010",
            kv_stride=2,
        ),
        stages=(False, False, True, True),
        position="after_conv2",
    ),
    dict(cfg=dict(type="ContextBlock", ratio=0.5, postfix="_a"), position="after_conv1"),
]


@pytest.fixture(autouse=True)
def mmdet_scope():
    init_default_scope("mmdet")


def lively(model):
    """Every layer spikes, every offset and every plugin does something."""
    make = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        if "conv_offset" in name or "block" in name:
            p.data = 0.1 * torch.randn(p.shape, generator=make)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.weight.data.uniform_(0.5, 2.0, generator=make)
            m.bias.data.uniform_(0.0, 1.0, generator=make)
    return model


def build(kind="SEWResNet", depth=50, **kwargs):
    if kind.endswith("ResNeXt"):
        kwargs.update(groups=4, base_width=8)
    args = dict(depth=depth, base_channels=16, norm_cfg=dict(type="BN"), **kwargs)
    if not kind.startswith(("SEW", "Spiking")):
        return lively(MODELS.build(dict(args, type=kind)))
    return lively(MODELS.build(dict(args, type=kind, time_steps=2)))


def deformable(dcn, **kwargs):
    return build(dcn=dict(dcn), stage_with_dcn=STAGES, **kwargs)


def images(batch=2):
    make = torch.Generator().manual_seed(3)
    return torch.rand(batch, 3, 96, 128, generator=make)


class Reference(nn.Module):
    """torchvision's operator with the weights of mmcv's."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        conv, x = self.conv, x.contiguous()
        offset, mask = conv.conv_offset(x).contiguous(), None
        if not isinstance(conv, DeformConv2d):
            first, second, mask = offset.chunk(3, 1)
            offset, mask = torch.cat([first, second], 1), mask.sigmoid()
        how = dict(stride=conv.stride, padding=conv.padding, dilation=conv.dilation)
        return deform_conv2d(x, offset, conv.weight, None, mask=mask, **how)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("dcn", DCNS)
@torch.no_grad()
def test_deformable_convolution_is_torchvisions(kind, dcn):
    model = deformable(dcn, kind=kind).eval()
    x = images()
    found = model(x)
    replaced = 0
    for block in model.modules():
        if hasattr(getattr(block, "conv2", None), "conv_offset"):
            block.conv2 = Reference(block.conv2)
            replaced += 1
    assert replaced == 4 + 6 + 3
    for a, b in zip(found, model(x), strict=True):
        # Another rounding flips a spike now and then; another layout would flip most.
        assert b.any()
        assert ((a - b).abs() > 1e-4).float().mean() < 0.01


@torch.no_grad()
def test_any_number_of_images_is_taken():
    """mmcv's DCN takes 32 images at a time and refuses what is no multiple: here T*B = 34."""
    model = deformable(DCNS[0], num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))
    model.eval()
    x = images(17)
    (together,), (alone,) = model(x), model(x[:2])
    torch.testing.assert_close(together[:2], alone)


@pytest.mark.parametrize("extras", [dict(plugins=PLUGINS), dict(dcn=DCNS[1])])
def test_names_are_upstreams(extras):
    if "dcn" in extras:
        extras["stage_with_dcn"] = STAGES
    init_default_scope("mmdet")
    theirs = ResNet(50, base_channels=16, **extras).state_dict()
    ours = build(**extras).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_fallback_on_stride_keeps_the_plain_convolution():
    model = deformable(dict(type="DCN", fallback_on_stride=True))
    assert not any("conv_offset" in name for name, _ in model.named_modules())


@pytest.mark.parametrize("kind", ["SEWResNet", "SpikingResNet"])
@torch.no_grad()
def test_plugins_stand_behind_neurons_and_before_the_connection(kind):
    model = build(kind, plugins=PLUGINS).eval()
    block = model.layer3[1]
    seen = {}
    for name in ("context_block", "context_block_a", "gen_attention_block"):
        getattr(block, name).register_forward_hook(
            lambda m, args, out, name=name: seen.__setitem__(name, (args[0], out))
        )
    for name in ("conv2", "conv3"):
        getattr(block, name).register_forward_pre_hook(
            lambda m, args, name=name: seen.__setitem__(name, args[0])
        )
    into = []
    block.register_forward_hook(lambda m, args, out: into.append((args[0], out)))
    model(images())
    assert set(seen["context_block_a"][0].unique().tolist()) <= {0.0, 1.0}
    assert set(seen["gen_attention_block"][0].unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(seen["conv2"], seen["context_block_a"][1])
    assert torch.equal(seen["conv3"], seen["gen_attention_block"][1])
    ((x, out),) = into
    if kind == "SEWResNet":
        assert set(seen["context_block"][0].unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(out, seen["context_block"][1] + x)
    else:
        assert set(out.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("dcn", DCNS)
def test_gradients_reach_offsets_and_plugins_and_checkpointing_changes_none(dcn):
    found = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = deformable(dcn, plugins=PLUGINS, with_cp=with_cp).train()
        sum(f.square().sum() for f in model(images())).backward()
        found.append({n: p.grad for n, p in model.named_parameters()})
    plain, checkpointed = found
    for name, grad in plain.items():
        assert torch.equal(grad, checkpointed[name]), name
        if "layer2.1" in name:
            assert grad.any(), name


@torch.no_grad()
def test_folding_keeps_the_features():
    model = deformable(DCNS[1], plugins=PLUGINS).double().eval()
    x = images().double()
    before = model(x)
    for a, b in zip(model.fuse()(x), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dcn", DCNS)
@torch.no_grad()
def test_a_quickened_teacher_gives_its_features(dcn):
    model = build("ResNet", dcn=dict(dcn), stage_with_dcn=STAGES, plugins=PLUGINS)
    model.eval()
    x = images()
    before = model(x)
    for a, b in zip(optimize_for_inference(model)(x), before, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * b.abs().max())
