"""A small one of every upstream backbone that takes the word: (package, type) -> its arguments."""

import copy
import functools

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from sakd_dense.config.twins import ann_of

BN = dict(type="BN")
R18 = dict(
    type="ResNetV1c",
    depth=18,
    base_channels=8,
    stem_channels=8,
    num_stages=4,
    out_indices=(0, 1, 2, 3),
    dilations=(1, 1, 1, 1),
    strides=(1, 2, 2, 2),
    norm_cfg=BN,
)
STDC = dict(
    type="STDCNet",
    stdc_type="STDCNet1",
    in_channels=3,
    channels=(8, 8, 16, 32, 64),
    bottleneck_type="cat",
    num_convs=4,
    norm_cfg=BN,
    act_cfg=dict(type="ReLU"),
)


def _hrnet(block_channels=(8, 16, 32, 64)):
    stages = {}
    for i in range(4):
        stages[f"stage{i + 1}"] = dict(
            num_modules=1,
            num_branches=i + 1,
            block="BASIC" if i else "BOTTLENECK",
            num_blocks=(1,) * (i + 1),
            num_channels=block_channels[: i + 1],
        )
    return dict(extra=stages)


CASES = {
    ("mmdet", "CSPDarknet"): dict(deepen_factor=0.33, widen_factor=0.125),
    ("mmdet", "CSPNeXt"): dict(deepen_factor=0.33, widen_factor=0.125),
    ("mmdet", "Darknet"): dict(depth=53),
    ("mmdet", "EfficientNet"): dict(arch="b0"),
    ("mmdet", "HRNet"): _hrnet(),
    ("mmdet", "HourglassNet"): dict(
        downsample_times=2,
        num_stacks=1,
        stage_channels=(8, 8, 16),
        stage_blocks=(1, 1, 1),
        feat_channel=8,
    ),
    ("mmdet", "MobileNetV2"): dict(widen_factor=0.5),
    ("mmdet", "RegNet"): dict(arch="regnetx_400mf"),
    ("mmdet", "Res2Net"): dict(depth=50, base_channels=16, base_width=26),
    ("mmdet", "ResNeSt"): dict(depth=50, base_channels=16),
    ("mmdet", "SSDVGG"): dict(
        depth=11,
        with_last_pool=False,
        ceil_mode=True,
        out_indices=(3, 4),
        out_feature_indices=(15, 20),
    ),
    ("mmseg", "BiSeNetV1"): dict(
        backbone_cfg=R18,
        context_channels=(16, 32, 64),
        spatial_channels=(8, 8, 8, 16),
        out_channels=16,
    ),
    ("mmseg", "BiSeNetV2"): dict(
        detail_channels=(8, 8, 16),
        semantic_channels=(8, 8, 16, 16),
        bga_channels=16,
    ),
    ("mmseg", "CGNet"): dict(num_channels=(8, 16, 32), num_blocks=(2, 2)),
    ("mmseg", "DDRNet"): dict(channels=8, ppm_channels=16, norm_cfg=BN),
    ("mmseg", "ERFNet"): {},
    ("mmseg", "FastSCNN"): {},
    ("mmseg", "HRNet"): _hrnet(),
    ("mmseg", "ICNet"): dict(
        backbone_cfg=R18, layer_channels=(16, 64), light_branch_middle_channels=8
    ),
    ("mmseg", "MSCAN"): dict(embed_dims=[8, 8, 16, 16], depths=[1, 1, 1, 1], norm_cfg=BN),
    ("mmseg", "MobileNetV2"): dict(widen_factor=0.5),
    ("mmseg", "MobileNetV3"): dict(arch="small"),
    ("mmseg", "PIDNet"): dict(channels=8, ppm_channels=16, num_stem_blocks=1, norm_cfg=BN),
    ("mmseg", "STDCContextPathNet"): dict(
        backbone_cfg=STDC,
        last_in_channels=(64, 32),
        out_channels=8,
        ffm_cfg=dict(in_channels=24, out_channels=16, scale_factor=4),
    ),
    ("mmseg", "STDCNet"): {k: v for k, v in STDC.items() if k != "type"},
    ("mmseg", "UNet"): dict(base_channels=8),
    ("mmpretrain", "AlexNet"): {},
    ("mmpretrain", "CSPDarkNet"): dict(depth=53),
    ("mmpretrain", "CSPResNeXt"): dict(depth=50),
    ("mmpretrain", "CSPResNet"): dict(depth=50),
    ("mmpretrain", "ConvMixer"): dict(
        arch=dict(embed_dims=16, depth=2, patch_size=4, kernel_size=3)
    ),
    ("mmpretrain", "ConvNeXt"): dict(arch=dict(depths=[1, 1, 1, 1], channels=[8, 16, 16, 32])),
    ("mmpretrain", "DenseNet"): dict(
        arch=dict(growth_rate=8, depths=[1, 2, 2, 1], init_channels=16)
    ),
    ("mmpretrain", "EfficientNetV2"): dict(arch="b0"),
    ("mmpretrain", "HRNet"): _hrnet(),
    ("mmpretrain", "MobileOne"): dict(
        arch=dict(
            num_blocks=[1, 1, 1, 1],
            width_factor=[0.25, 0.25, 0.25, 0.25],
            num_conv_branches=[2, 2, 2, 2],
            num_se_blocks=[0, 0, 0, 1],
        )
    ),
    ("mmpretrain", "RegNet"): dict(arch="regnetx_400mf"),
    ("mmpretrain", "RepVGG"): dict(arch="A0"),
    ("mmpretrain", "SEResNeXt"): dict(depth=50, base_channels=16, width_per_group=4, groups=8),
    ("mmpretrain", "SEResNet"): dict(depth=50, base_channels=16),
    ("mmpretrain", "ShuffleNetV1"): dict(groups=3),
    ("mmpretrain", "ShuffleNetV2"): dict(widen_factor=0.5),
    ("mmpretrain", "VAN"): dict(
        arch=dict(embed_dims=[8, 8, 16, 16], depths=[1] * 4, ffn_ratios=[2] * 4)
    ),
    ("mmpretrain", "VGG"): dict(depth=11, norm_cfg=BN),
}
NAMES = [f"{package}.{name}" for package, name in CASES]
#: One of each kind: ConvModules, residual blocks, joined images, resized features, a bare list of
#: layers, gates, a bare tensor in eval mode, dense connections. All others are tested nightly.
ARCHETYPES = (
    "mmdet.CSPDarknet",
    "mmdet.HRNet",
    "mmseg.CGNet",
    "mmseg.UNet",
    "mmpretrain.VGG",
    "mmdet.EfficientNet",
    "mmseg.PIDNet",
    "mmpretrain.DenseNet",
)


def config(name, **changes):
    """``dict(type='SpikingUNet', ...)`` of a name of :data:`NAMES`."""
    package, kind = name.split(".")
    return dict(CASES[package, kind], type=f"Spiking{kind}", time_steps=3, **changes)


def built(cfg, package):
    __import__(f"{package}.models")
    init_default_scope(package)
    return MODELS.build(dict(cfg))


@functools.cache
def _lively(name):
    torch.manual_seed(0)
    model = built(config(name), name.split(".")[0])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 1.0, 2.0)
            nn.init.uniform_(module.bias, 0.0, 0.7)
    if not any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=2 / module.weight[0].numel() ** 0.5)
    with torch.no_grad():
        model.train()(images())
    return model.eval()


def lively(name):
    """A spiking backbone whose layers fire, in eval mode; the same at every call."""
    return copy.deepcopy(_lively(name))


@functools.cache
def ann(name):
    """The ANN twin of :func:`config`; one for all callers, who leave it as it is."""
    return built(ann_of(dict(type="Model", backbone=config(name)))["backbone"], name.split(".")[0])


def images(size=64):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
