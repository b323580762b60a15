"""SEW-ResNet and Spiking-ResNet: shapes, names and dynamics."""

import copy

import pytest
import torch
import torchvision
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model import sew_resnet as sj_sew
from spikingjelly.activation_based.model import spiking_resnet as sj_spiking
from torch import nn

from sakd_dense.backbones import SEWResNet, SpikingResNet
from tests.helpers.residual_backbones import CONNECTS, excite, small

DEPTHS = (18, 34, 50, 101, 152)
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BLOCKS[152] = (3, 8, 36, 3)
# With the 1000-class head; published for SEW-ResNet in millions: 11.7, 21.8, 25.6, 44.5, 60.2.
PARAMETERS = {18: 11.7, 34: 21.8, 50: 25.6, 101: 44.5, 152: 60.2}


IF = dict(
    type="IFNode",
    v_reset=None,
    detach_reset=True,
    surrogate_function=dict(type="ATan", alpha=2.0),
)


@pytest.mark.parametrize("depth", DEPTHS)
def test_shapes_and_strides(depth):
    outs = small(depth)(torch.rand(2, 3, 64, 96))
    expansion = 1 if depth < 50 else 4
    assert [tuple(o.shape) for o in outs] == [
        (2, 8 * 2**i * expansion, 64 // 2 ** (i + 2), 96 // 2 ** (i + 2)) for i in range(4)
    ]


@pytest.mark.parametrize("family", [SEWResNet, SpikingResNet])
@pytest.mark.parametrize("depth", DEPTHS)
def test_parameter_names_and_shapes_are_torchvisions(depth, family):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        ours = family(depth).state_dict()
    theirs = {k: v.shape for k, v in theirs.items() if not k.startswith("fc.")}
    assert {k: v.shape for k, v in ours.items()} == theirs


@pytest.mark.parametrize("family", [SEWResNet, SpikingResNet])
@pytest.mark.parametrize("depth", DEPTHS)
def test_parameter_counts_are_the_published(depth, family):
    with torch.device("meta"):
        backbone = family(depth)
        head = nn.Linear(backbone.feat_dim, 1000)
    count = sum(p.numel() for m in (backbone, head) for p in m.parameters())
    assert round(count / 1e6, 1) == PARAMETERS[depth]


# SpikingJelly's bottleneck swaps the operands of IAND, out * (1 - identity), which is neither the
# paper's (eq. 9) nor what its own basic block does; ours is the paper's for both.
@pytest.mark.parametrize(
    "depth,connect",
    [
        *((18, c) for c in CONNECTS),
        *((50, c) for c in CONNECTS if c != "IAND"),
        (34, "BEFORE"),
    ],
)
def test_features_are_spikingjellys(depth, connect):
    """Same weights, same neuron, same input: SpikingJelly's own model, stage by stage."""
    before = connect == "BEFORE"
    make = getattr(
        sj_spiking if before else sj_sew, f"{'spiking' if before else 'sew'}_resnet{depth}"
    )
    reference = make(
        spiking_neuron=neuron.IFNode,
        **({} if before else dict(cnf=connect)),
        v_reset=None,
        detach_reset=True,
        surrogate_function=surrogate.ATan(),
    )
    # Laid out as ours: another rounding of a convolution flips a spike now and then.
    excite(reference).eval().to(memory_format=torch.channels_last)
    functional.set_step_mode(reference, "m")
    seen = []
    for name in ("layer1", "layer2", "layer3", "layer4"):
        getattr(reference, name).register_forward_hook(lambda m, i, o: seen.append(o))
    ours = small(
        depth, connect=connect, output="sequence", neuron=IF, base_channels=64, time_steps=4
    ).eval()
    weights = {k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(weights)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        reference(x.expand(4, -1, -1, -1, -1))
        outs = ours(x)
    assert seen[0].any()
    for mine, theirs in zip(outs, seen, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "neuron_cfg,bias,fired",
    [
        (IF, 1.0, [1, 1, 1, 1]),
        (IF, 0.5, [0, 1, 0, 1]),
        (IF, 0.4, [0, 0, 1, 0]),
        (None, 1.0, [1, 1, 1, 1]),
        (None, 0.8125, [1, 0, 1, 0]),  # 1.0625 - 1, 0.84375, 1.234375 - 1, 0.9296875
        (None, 0.625, [0, 1, 0, 0]),  # 0.875, 1.0625 - 1, 0.65625, 0.953125
        (None, 0.5, [0, 0, 0, 0]),  # 0.75, 0.875, 0.9375, 0.96875: the leak outweighs it
    ],
)
@pytest.mark.parametrize("depth", DEPTHS)
def test_against_the_hand_computed(depth, neuron_cfg, bias, fired):
    """Every neuron gets the constant ``bias`` and fires when its potential reaches 1, soft reset.

    IF starts at 0 and adds the bias to the potential. The default starts at 0.5 and adds the bias
    to half of the potential. ADD counts the stem's (or the downsampling branch's) spike and one of
    each block. At T = 1 the saturating bias 1 gives the integer count itself.
    """
    model = small(depth, output="sequence", time_steps=4, neuron=neuron_cfg).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.zeros_(m.weight)
            nn.init.constant_(m.bias, bias)
    outs = model(torch.rand(1, 3, 64, 64))
    for out, blocks in zip(outs, BLOCKS[depth], strict=True):
        expected = torch.tensor(fired, dtype=torch.float32) * (blocks + 1)
        torch.testing.assert_close(out, expected.view(4, 1, 1, 1, 1).expand_as(out))
    model.time_steps, model.output = 1, "rate"
    for out, blocks in zip(model(torch.rand(1, 3, 64, 64)), BLOCKS[depth], strict=True):
        assert torch.equal(out, torch.full_like(out, (blocks + 1) * fired[0]))


@pytest.mark.parametrize("connect,expected", [("ADD", 3), ("AND", 1), ("IAND", 0), ("BEFORE", 1)])
def test_connections_of_saturated_blocks(connect, expected):
    model = small(18, connect=connect, time_steps=1).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.zeros_(m.weight)
            nn.init.ones_(m.bias)
    for out in model(torch.rand(1, 3, 32, 32)):
        assert torch.equal(out, torch.full_like(out, expected))


@pytest.mark.parametrize("connect", CONNECTS)
def test_blocks_start_as_the_identity(connect):
    """zero_init_residual: the first stage of depth 18 (no downsampling) passes the stem on."""
    model = small(18, connect=connect)
    model.init_weights()
    model.eval()
    stem = []
    model.maxpool.register_forward_hook(lambda m, i, o: stem.append(o))
    nn.init.constant_(model.bn1.bias, 0.5)
    out = model(torch.rand(1, 3, 64, 64))[0]
    assert stem[0].any()
    torch.testing.assert_close(out, stem[0].unflatten(0, (2, 1)).mean(0))


@pytest.mark.parametrize("connect", CONNECTS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_parameter_gets_a_gradient(depth, connect):
    model = excite(small(depth, connect=connect, deep_stem=depth == 34, avg_down=depth == 101))
    for block in (b for name in model.res_layers for b in getattr(model, name)):
        # Close to the identity: a product of 50 blocks of spikes would be silent.
        if connect in ("AND", "IAND"):
            last = getattr(block, f"norm{block.convolutions}")
            nn.init.constant_(last.weight, 0.2)
            nn.init.constant_(last.bias, 1.2 if connect == "AND" else 0.0)
    sum(o.sum() for o in model(torch.randn(2, 3, 64, 64))).backward()
    without = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert without == []


@pytest.mark.parametrize("neuron_cfg", ["IFNode", "LIFNode", dict(type="IFNode", v_reset=0.0)])
@pytest.mark.parametrize("connect", CONNECTS)
@pytest.mark.parametrize("depth", [18, 50])
def test_prefix_of_a_longer_pass(depth, connect, neuron_cfg):
    """Direct encoding is causal: T = t is the first t steps of T = 8."""
    model = excite(small(depth, connect=connect, neuron=neuron_cfg)).eval()
    x = torch.rand(2, 3, 64, 64)
    model.time_steps, model.output = 8, "sequence"
    with torch.no_grad():
        long = model(x)
        model.output = "rate"
        assert model.causal
        for t in (1, 2, 5, 8):
            model.time_steps = t
            for short, whole in zip(model(x), long, strict=True):
                torch.testing.assert_close(short, whole[:t].mean(0))


def test_state_does_not_leak_between_calls_and_sizes():
    model = excite(small()).eval()
    images = [torch.rand(1, 3, 64, 64), torch.rand(2, 3, 32, 96), torch.rand(1, 3, 64, 64)]
    fresh = [[o.clone() for o in copy.deepcopy(model)(x)] for x in images]
    for x, expected in zip(images, fresh, strict=True):
        for mine, reference in zip(model(x), expected, strict=True):
            assert torch.equal(mine, reference)


def test_frames_are_taken_as_they_are():
    """Frames [T, B, C, H, W] bring their own T; constant frames are the same as an image."""
    model = excite(small(time_steps=3)).eval()
    x = torch.rand(2, 3, 64, 64)
    as_image = model(x)
    model.time_steps = 9
    for a, b in zip(as_image, model(x.expand(3, -1, -1, -1, -1)), strict=True):
        torch.testing.assert_close(a, b)


def test_what_precedes_the_first_neuron_runs_once():
    model = small(time_steps=4)
    sizes = {}
    model.bn1.register_forward_hook(lambda m, i, o: sizes.update(stem=len(o)))
    model.layer1[0].bn1.register_forward_hook(lambda m, i, o: sizes.update(block=len(o)))
    model(torch.rand(2, 3, 32, 32))
    assert sizes == dict(stem=2, block=8)
