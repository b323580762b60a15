"""The pass of BatchNorm, neuron and shortcut in upstream's blocks gives their own forward."""

import pytest
import torch
from mmdet.models.backbones import resnet as mmdet_resnet
from mmdet.models.backbones import resnext as mmdet_resnext
from mmpretrain.models.backbones import resnet as mmpretrain_resnet
from mmpretrain.models.backbones import seresnet
from mmseg.models.backbones import resnet as mmseg_resnet
from torch import nn

from sakd_dense.neurons import ForwardState
from sakd_dense.neurons.activations import SpikingResidualBlock, replace_activations
from sakd_dense.neurons.compiling import Fallback
from tests.helpers.pairwise import pairwise

PACKAGES = dict(mmdet=mmdet_resnet, mmseg=mmseg_resnet, mmpretrain=mmpretrain_resnet)
STEPS, IMAGES, WIDTH = 3, 2, 16
NEURONS = dict(
    lif=dict(type="LIFNode", v_reset=None, surrogate_function="ATan"),
    counts=dict(type="NILIFNode", D=4),
)


def block_of(package, kind, neuron, shortcut=False, **arguments):
    """A block of upstream with neurons, and its upstream class."""
    torch.manual_seed(0)
    if package == "mmpretrain":
        arguments |= dict(in_channels=WIDTH, out_channels=WIDTH)
    else:
        arguments |= dict(inplanes=WIDTH, planes=WIDTH // (4 if kind == "Bottleneck" else 1))
    if shortcut:
        arguments["downsample"] = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.BatchNorm2d(WIDTH))
    upstream = getattr(PACKAGES[package], kind)
    block = upstream(**arguments)
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 1, 3)
            nn.init.uniform_(norm.bias, 0, 1)
    replace_activations(block, neuron, ForwardState(STEPS))
    return block, upstream


def run(forward, block, training):
    """Output, and gradients of the input and the parameters."""
    block.train(training).zero_grad()
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
    torch.manual_seed(1)
    x = torch.rand(STEPS * IMAGES, WIDTH, 8, 8, requires_grad=True)
    out = forward(x)
    (out * torch.rand_like(out)).sum().backward()
    kept = [b.clone() for b in block.buffers()]
    return [out.detach(), x.grad, *(p.grad for p in block.parameters() if p.requires_grad), *kept]


@pytest.mark.parametrize(
    ("package", "kind", "shortcut", "neuron", "backend", "training"),
    pairwise(
        list(PACKAGES),
        ["BasicBlock", "Bottleneck"],
        [False, True],
        list(NEURONS),
        ["spikingjelly", "compiled"],
        [True, False],
    ),
)
def test_the_pass_gives_upstreams_forward(
    package, kind, shortcut, neuron, backend, training, monkeypatch
):
    monkeypatch.setattr(Fallback, "reason", "none")  # the fused pass, not compiled
    neuron = dict(NEURONS[neuron], backend=backend)
    block, upstream = block_of(package, kind, neuron, shortcut)
    assert isinstance(block, SpikingResidualBlock)
    got = run(block, block, training)
    want = run(lambda x: upstream.forward(block, x), block, training)
    assert got[0].any() and (got[1] != 0).any()
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("mmdet", dict(with_cp=True)),
        (
            "mmseg",
            dict(plugins=[dict(cfg=dict(type="ContextBlock", ratio=1), position="after_conv3")]),
        ),
        ("mmpretrain", dict(drop_path_rate=0.5)),
    ],
)
def test_checkpoints_plugins_and_stochastic_depth_run_upstreams_forward(
    package, arguments, monkeypatch
):
    block, upstream = block_of(package, "Bottleneck", NEURONS["lif"], **arguments)
    calls = []
    forward = upstream.forward
    monkeypatch.setattr(upstream, "forward", lambda self, x: calls.append(1) or forward(self, x))
    run(block, block, training=True)
    assert calls


def test_subclasses_are_taken_by_their_forward():
    kept = mmdet_resnext.Bottleneck(WIDTH, 4, groups=2, base_width=4, base_channels=4)
    other = seresnet.SEBottleneck(WIDTH, WIDTH, se_ratio=4)
    for block, taken in ((kept, True), (other, False)):
        replace_activations(block, NEURONS["lif"], ForwardState(STEPS))
        assert isinstance(block, SpikingResidualBlock) is taken
