"""A packed convolution is the convolution that it was made from."""

import copy
import pickle

import pytest
import torch
from torch import nn

from sakd_dense.backbones import SEWResNet
from sakd_dense.backbones.packing import PackedConv2d

CONVS = [
    dict(kernel_size=1),
    dict(kernel_size=1, stride=2),
    dict(kernel_size=3, padding=1),
    dict(kernel_size=7, padding=3, stride=2, bias=False),
    dict(kernel_size=3, padding=2, dilation=2),
    dict(kernel_size=3, padding=1, groups=4),
    dict(kernel_size=3, padding="same"),
    dict(kernel_size=3, padding=1, padding_mode="reflect"),
]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def pair(**kwargs):
    conv = nn.Conv2d(8, 16, **kwargs)
    return conv, PackedConv2d.of(conv)


def images(layout=torch.channels_last, size=12):
    return torch.randn(3, 8, size, size + 1).to(memory_format=layout)


def assert_alike(packed, conv, x):
    torch.testing.assert_close(packed(x), conv(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kwargs", CONVS)
@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_every_convolution_on_every_size(kwargs, layout):
    conv, packed = pair(**kwargs)
    for size in (12, 5, 20):
        assert_alike(packed, conv, images(layout, size))
    assert list(packed.state_dict()) == list(conv.state_dict())


@pytest.mark.parametrize("kwargs", CONVS)
def test_gradients(kwargs):
    conv, packed = pair(**kwargs)
    with torch.no_grad():
        packed(images())
    x = images().requires_grad_()
    grads = [torch.autograd.grad(m(x).sin().sum(), [x, m.weight]) for m in (conv, packed)]
    torch.testing.assert_close(*grads)


@torch.no_grad()
def test_new_weights_are_packed_anew():
    conv, packed = pair(kernel_size=3)
    x = images()
    packed(x)
    packed.load_state_dict({k: v + 1 for k, v in conv.state_dict().items()})  # conv shares them
    assert_alike(packed, conv, x)
    packed.weight = nn.Parameter(torch.randn_like(packed.weight))
    assert not torch.allclose(packed(x), conv(x))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@torch.no_grad()
def test_it_can_be_copied_and_saved_after_use(again):
    conv, packed = pair(kernel_size=3, padding=1)
    packed(images())
    assert_alike(again(packed), conv, images())


@torch.no_grad()
def test_other_dtypes_and_autocast():
    conv, packed = pair(kernel_size=3)
    x = images()
    with torch.autocast("cpu", torch.bfloat16):
        assert packed(x).dtype == torch.bfloat16
    assert_alike(packed.double(), conv.double(), x.double())


@torch.no_grad()
def test_a_folded_backbone_in_single_precision():
    """Where potentials stay far from the threshold, no rounding flips a spike."""
    model = SEWResNet(18, base_channels=8, time_steps=2).eval()
    for fire in model.neurons:
        fire.node.v_threshold = 0.9
    x = torch.rand(2, 3, 64, 64)
    before = model(x)
    for a, b in zip(model.fuse()(x), before, strict=True):
        assert (a != b).float().mean() < 0.05
    assert any(isinstance(m, PackedConv2d) and m._packed for m in model.modules())
