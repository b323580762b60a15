"""SEW-ResNet and Spiking-ResNet: what upstream's arguments mean, and what is refused."""

import copy

import pytest
import torch
from mmdet.models.backbones import ResNet as DetResNet
from mmdet.models.backbones import ResNetV1d as DetResNetV1d
from mmdet.models.backbones import ResNeXt as DetResNeXt
from mmpretrain.models.backbones import ResNet as ClsResNet
from mmpretrain.models.backbones import ResNet_CIFAR as ClsResNetCIFAR
from mmseg.models.backbones import ResNet as SegResNet
from mmseg.models.backbones import ResNetV1c as SegResNetV1c
from torch import nn

from sakd_dense.backbones import (
    SEWResNet,
    SEWResNet_CIFAR,
    SEWResNetV1c,
    SEWResNetV1d,
    SEWResNeXt,
    SpikingResNet,
    SpikingResNet_CIFAR,
    SpikingResNetV1c,
    SpikingResNetV1d,
    SpikingResNeXt,
)
from sakd_dense.config.types import ANN_TYPES, PREFIXES
from tests.helpers.residual_backbones import small

UPSTREAM = [
    (SEWResNet, DetResNet, dict(depth=18, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))),
    (SEWResNet, DetResNet, dict(depth=50, style="caffe", num_stages=3, strides=(1, 2, 2))),
    (SEWResNet, DetResNet, dict(depth=50, deep_stem=True, avg_down=True, stem_channels=16)),
    (SEWResNet, DetResNet, dict(depth=50, out_indices=(1, 3), in_channels=4)),
    (SEWResNet, DetResNet, dict(depth=50, norm_cfg=dict(type="GN", num_groups=4))),
    (SEWResNet, DetResNet, dict(depth=18, norm_cfg=dict(type="SyncBN"))),
    (SEWResNet, DetResNet, dict(depth=18, conv_cfg=dict(type="ConvWS"))),
    (SEWResNet, DetResNet, dict(depth=50, with_cp=True, zero_init_residual=False)),
    (SEWResNetV1d, DetResNetV1d, dict(depth=50)),
    (SEWResNeXt, DetResNeXt, dict(depth=50, groups=4, base_width=4)),
    (SEWResNet, SegResNet, dict(depth=50, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))),
    (SEWResNet, SegResNet, dict(depth=50, dilations=(1, 1, 2, 4), contract_dilation=True)),
    (SEWResNet, SegResNet, dict(depth=50, multi_grid=(1, 2, 4))),
    (SEWResNetV1c, SegResNetV1c, dict(depth=50, contract_dilation=True)),
    (SpikingResNet, DetResNet, dict(depth=34)),
    (SpikingResNetV1c, SegResNetV1c, dict(depth=50, dilations=(1, 1, 2, 4))),
    (SpikingResNetV1d, DetResNetV1d, dict(depth=50)),
    (SpikingResNeXt, DetResNeXt, dict(depth=50, groups=4, base_width=4)),
    (SEWResNet, ClsResNet, dict(depth=50, expansion=2, out_indices=(0, 1, 2, 3))),
    (SEWResNet_CIFAR, ClsResNetCIFAR, dict(depth=18, out_indices=(0, 1, 2, 3))),
    (SpikingResNet_CIFAR, ClsResNetCIFAR, dict(depth=50, out_indices=(0, 1, 2, 3))),
]


@pytest.mark.parametrize("ours,theirs,args", UPSTREAM)
def test_upstream_arguments(ours, theirs, args):
    """The same names, shapes, convolutions and output sizes as upstream's class gives."""
    args = {"base_channels": 8, **args}
    if not theirs.__module__.startswith("mmdet"):
        args.setdefault("stem_channels", 8)
    if "num_stages" in args:
        args.update(dilations=(1, 1, 1), out_indices=(0, 1, 2))
    twin, model = theirs(**copy.deepcopy(args)), ours(time_steps=1, **args)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (twin, model)]
    assert shapes[0] == shapes[1]
    convs = [
        {
            n: (m.stride, m.padding, m.dilation, m.groups)
            for n, m in net.named_modules()
            if isinstance(m, nn.Conv2d)
        }
        for net in (twin, model)
    ]
    assert convs[0] == convs[1]
    if args.get("norm_cfg", {}).get("type") == "SyncBN":
        return  # has no forward on a CPU
    x = torch.rand(1, args.get("in_channels", 3), 64, 64)
    assert [o.shape for o in twin(x)] == [o.shape for o in model(x)]


@pytest.mark.parametrize("frozen", [-1, 0, 1, 3])
@pytest.mark.parametrize("norm_eval", [True, False])
@pytest.mark.parametrize("deep_stem", [True, False])
def test_frozen_stages_and_norm_eval_are_upstreams(frozen, norm_eval, deep_stem):
    args = dict(depth=18, base_channels=8, frozen_stages=frozen, norm_eval=norm_eval)
    twin, model = DetResNet(deep_stem=deep_stem, **args), SEWResNet(deep_stem=deep_stem, **args)
    twin.train()  # upstream's returns None
    model.train()
    assert {n: p.requires_grad for n, p in twin.named_parameters()} == {
        n: p.requires_grad for n, p in model.named_parameters()
    }
    modes = [
        {n: m.training for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)}
        for net in (twin, model)
    ]
    assert modes[0] == modes[1]


GC = dict(cfg=dict(type="ContextBlock", ratio=0.25), position="after_conv3")


@pytest.mark.parametrize(
    "args,says",
    [
        (dict(depth=20), "depth=20"),
        (dict(depth="50"), "depth='50'"),
        (dict(connect="OR"), "connect='OR'"),
        (dict(connect="BEFORE", output="spikes"), "output='spikes'"),
        (dict(output="spikes"), "output='spikes'"),
        (dict(style="tf"), "style='tf'"),
        (dict(time_steps=0), "time_steps=0"),
        (dict(time_steps=2.0), "time_steps=2.0"),
        (dict(num_stages=5), "num_stages=5"),
        (dict(strides=(1, 2)), "strides"),
        (dict(out_indices=(4,)), "out_indices"),
        (dict(out_indices=()), "out_indices"),
        (dict(frozen_stages=5), "frozen_stages=5"),
        (dict(groups=2), "groups=2"),
        (dict(expansion=2), "expansion=2: depth 18 has expansion 1"),
        (dict(drop_path_rate=1.0), "drop_path_rate=1.0"),
        (dict(drop_path_rate=0.1, connect="IAND"), "drop_path_rate=0.1.*'IAND'"),
        (dict(multi_grid=(1, 2, 4)), "multi_grid"),
        (dict(dcn=dict(type="DCNv2"), stage_with_dcn=(False, True, True, True)), "dcn=.*use 50"),
        (dict(depth=50, dcn=dict(type="DCN"), stage_with_dcn=(True,)), "stage_with_dcn=(True,)"),
        (
            dict(
                depth=50,
                dcn=dict(type="DCN"),
                stage_with_dcn=(True,) * 4,
                conv_cfg=dict(type="ConvAWS"),
            ),
            "conv_cfg=.*not both",
        ),
        (dict(plugins=[dict(cfg=dict(type="ContextBlock"))]), "plugins=.*use 50"),
        (dict(depth=50, plugins=[dict(cfg=dict(type="ContextBlock"))]), "position"),
        (dict(depth=50, plugins=[dict(GC, position="after_conv4")]), "after_conv4"),
        (dict(depth=50, plugins=[dict(GC, stages=(True,))]), "stages=(True,)"),
        (dict(depth=50, plugins=[GC, GC]), "postfix"),
        (dict(init_cfg=dict(type="Kaiming"), pretrained="x.pth"), "not both"),
        (dict(pretrained=3), "pretrained=3"),
        (dict(neuron="NoNode"), "'NoNode'"),
        (dict(neuron=dict(type="IFNode", tau=2.0)), "tau"),
        (dict(neuron=dict(type="LIFNode", surrogate_function="Step")), "'Step'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(args, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(").replace(")", r"\)")):
        small(**{"depth": 18, **args})


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 3, 0, 64), (0, 3, 64, 64), (1, 1, 1, 3, 8, 8)])
def test_wrong_inputs_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[B, C, H, W\]"):
        small()(torch.zeros(shape))


def test_time_steps_changed_to_nonsense_is_refused():
    model = small()
    model.time_steps = 0
    with pytest.raises(ValueError, match="time_steps=0"):
        model(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("scope", ["mmdet", "mmseg", "mmpretrain"])
@pytest.mark.parametrize("kind", [p + t for p in PREFIXES for t in ANN_TYPES])
def test_the_bare_name_is_found_from_every_scope(scope, kind):
    import importlib

    registry = importlib.import_module(f"{scope}.registry").MODELS
    model = registry.build(dict(type=kind, depth=50, base_channels=8, time_steps=2))
    assert type(model).__name__ == kind
