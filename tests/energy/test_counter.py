"""Operations: exact for the ANN, SpikingJelly's own where its rule holds, by hand where not."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.backbones import ResNet
from spikingjelly.activation_based.op_counter import (
    DispatchCounterMode,
    MACCounter,
    SynOpCounter,
)
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sakd_dense.backbones import SEWResNet, SpikingResNet
from sakd_dense.energy import LayerCounter, Operations, measure
from sakd_dense.energy.counter import gates
from sakd_dense.energy.readings import plain_neurons
from sakd_dense.transfer import calibrate
from tests.helpers.residual_backbones import CONNECTS, excite, small
from tests.helpers.scenes import build, detection_batch, retinanet
from tests.helpers.upstream_backbones import images, lively


class Whole(nn.Module):
    """A backbone as a model."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def test_step(self, x: torch.Tensor) -> torch.Tensor:
        self.backbone(x)
        return x.reshape(-1, *x.shape[-3:])  # as many results as images


def by_arithmetic(model: nn.Module, run) -> dict[str, int]:
    """MACs of each convolution and linear layer, from its shapes alone."""
    found, handles = {}, []

    def count(name):
        def add(module, _args, out):
            found[name] = found.get(name, 0) + out.numel() * module.weight[0].numel()

        return add

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            handles.append(module.register_forward_hook(count(name)))
    run()
    for handle in handles:
        handle.remove()
    return found


@torch.no_grad()
@pytest.mark.parametrize("depth,macs", [(18, 1_813_561_344), (50, 4_087_136_256)])
def test_resnets_have_the_macs_of_the_literature(depth, macs):
    """At 224x224, the classifier aside (torchvision's model cards: 1.814 and 4.089 G with it)."""
    model = Whole(ResNet(depth)).eval()
    reading = measure(model, [torch.randn(1, 3, 224, 224)])
    total = reading.total().operations
    assert total.dense == total.strict_mac == total.count_mac == macs
    assert total.strict_ac == total.count_ac == 0


@torch.no_grad()
def test_a_detectors_layers_are_exact():
    model = build(retinanet()).eval()
    batch = detection_batch((64, 64), (48, 64))
    exact = by_arithmetic(model, lambda: model.test_step(batch))
    found = measure(model, [batch]).layers
    dense = {n: 2 * layer.operations.dense for n, layer in found.items() if layer.operations.dense}
    assert dense == pytest.approx(exact)
    for name, layer in found.items():
        if not name.startswith("backbone."):  # an ANN's: no spikes to accumulate
            ops = layer.operations
            assert ops.strict_mac == ops.count_mac == ops.dense > 0
            assert ops.strict_ac == ops.count_ac == 0
    first = found["backbone.conv1"].operations
    assert first.dense == first.strict_mac == first.count_mac


def spikingjellys(model, x):
    """Theirs, over the whole model."""
    counters = [kind(extra_ignore_modules=[_BatchNorm]) for kind in (MACCounter, SynOpCounter)]
    with plain_neurons(model), DispatchCounterMode(counters):
        model.test_step(x)
    return [c.get_total() for c in counters]


@torch.no_grad()
@pytest.mark.parametrize("connect", [*CONNECTS, "BEFORE"])
@pytest.mark.parametrize("depth", [18, 50])
def test_strict_is_spikingjellys(depth, connect):
    model = Whole(excite(small(depth, connect=connect))).eval()
    x = torch.randn(2, 3, 64, 64)
    reading = measure(model, [x])
    total = reading.total().operations
    assert [2 * total.strict_mac, 2 * total.strict_ac] == spikingjellys(model, x)
    assert total.count_ac > 0
    if connect != "ADD":  # nothing but zeros and ones: the conventions agree
        assert total.strict_ac == total.count_ac and total.strict_mac == total.count_mac


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 50])
def test_an_integer_is_as_many_spikes(depth):
    """Each value of the input times how many weights it meets."""
    model = Whole(excite(small(depth, deep_stem=depth == 50))).eval()
    inputs, biggest = {}, 0

    def keep(name):
        return lambda _m, args, _out: inputs.update({name: args[0]})

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep(name))
    reading = measure(model, [torch.randn(1, 3, 64, 64)])
    first = next(iter(inputs))
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d) or name == first:
            continue
        x = inputs[name]
        ones = torch.ones_like(module.weight)
        met = F.conv2d(x, ones, None, module.stride, module.padding, module.dilation)
        ops = reading.layers[name].operations
        assert ops.count_ac == met.double().sum().item() and ops.count_mac == 0
        biggest = max(biggest, x.max().item())
    assert biggest > 1
    assert reading.layers[first].operations.count_mac > 0


@torch.no_grad()
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_an_image_of_whole_numbers_is_none_of_spikes_but_frames_are(level):
    model = Whole(small(18, time_steps=2)).eval()
    image = torch.full((1, 3, 64, 64), level)
    first = measure(model, [image]).layers["backbone.conv1"].operations
    assert first.count_mac == first.strict_mac == first.dense > 0
    frames = measure(model, [image.expand(2, 1, 3, 64, 64)]).layers["backbone.conv1"].operations
    assert frames.count_mac == 0 and (frames.count_ac > 0) == (level > 0)


@torch.no_grad()
def test_average_pooling_gives_no_spikes():
    """The shortcut of V1d reads means of spikes: it multiplies, in both conventions."""
    model = Whole(excite(small(50, avg_down=True))).eval()
    reading = measure(model, [torch.randn(1, 3, 64, 64)])
    ops = reading.layers["backbone.layer2.0.downsample.1"].operations
    assert ops.count_mac == ops.strict_mac == ops.dense > 0


@torch.no_grad()
def test_deformable_convolution_counts():
    model = Whole(
        small(
            50, dcn=dict(type="DCNv2", deform_groups=1), stage_with_dcn=(False, False, False, True)
        )
    ).eval()
    layer = measure(model, [torch.randn(1, 3, 64, 64)]).layers["backbone.layer4.0.conv2"]
    conv = model.backbone.layer4[0].conv2
    positions = 2 * 2 * model.backbone.time_steps
    assert layer.operations.dense == layer.operations.count_mac == positions * conv.weight.numel()


@torch.no_grad()
def test_attention_counts_whoever_computes_it():
    attend = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    model = nn.ModuleDict(dict(head=attend))
    counter, x = LayerCounter(model), torch.randn(3, 5, 16)
    with counter.counting():
        attend(x, x, x, need_weights=False)
    projections = 3 * 5 * 16 * 16 * 4
    products = 2 * 3 * 5 * 5 * 16
    total = sum(counter.layers.values(), Operations())
    assert total.dense == total.count_mac == projections + products


@torch.no_grad()
@pytest.mark.parametrize("kind", [SEWResNet, SpikingResNet])
@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("time_steps", [1, 2])
def test_a_count_of_n_is_n_accumulates(kind, depth, time_steps):
    """Whatever one spike is worth: the step, one a channel, belongs to the weights."""
    node = dict(type="NILIFNode", D=3)
    backbone = kind(depth, base_channels=8, stem_channels=8, time_steps=time_steps, neuron=node)
    model = Whole(backbone).eval()
    for norm in (m for m in backbone.modules() if isinstance(m, _BatchNorm)):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.uniform_(0, 1)
    x = torch.randn(2, 3, 64, 64)
    calibrate(backbone, [(x,)], 1)
    block = backbone.layer2[1]
    spikes = []
    handle = block.sn1.register_forward_hook(lambda n, _, out: spikes.append(n.spikes_of(out)))
    layers = measure(model, [x]).layers
    handle.remove()
    second = block.conv2
    exact = F.conv2d(spikes[0], torch.ones_like(second.weight), None, second.stride, second.padding)
    found = layers["backbone.layer2.1.conv2"].operations
    assert found.count_ac == exact.sum() / 2 > 0
    assert spikes[0].unique().tolist() == [0, 1, 2, 3]
    for name, layer in layers.items():
        ops = layer.operations
        if name == "backbone.conv1":
            assert ops.count_mac == ops.strict_mac == ops.dense and ops.count_ac == 0
        elif ops.dense:
            assert ops.count_mac == 0 < ops.count_ac, name
            assert ops.strict_mac == ops.dense and ops.strict_ac == 0, name


@torch.no_grad()
def test_gates_are_named_and_their_products_multiply():
    """MobileNetV3's squeeze and excitation: a spike times a number is no spike."""
    backbone = lively("mmseg.MobileNetV3")
    found = gates(backbone)
    assert found and all(type(backbone.get_submodule(n)).__name__ == "HSigmoid" for n in found)
    counter = LayerCounter(backbone)
    with counter.counting():
        backbone(images())
    gated = found[0].partition(".se.")[0]
    layer = counter.layers[f"{gated}.linear_conv.conv"]
    assert layer.count_mac == layer.dense > 0 and layer.count_ac == 0
