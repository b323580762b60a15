"""Spiking necks and heads: upstream's names, spikes throughout, no state, every T in one pass."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from spikingjelly.activation_based import functional
from torch import nn

from sakd_dense.config.twins import ann_of
from sakd_dense.config.types import PART_TWINS
from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.prefixes import read_at
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.terms import Terms
from sakd_dense.energy import measure
from sakd_dense.neurons.dynamics import start_of
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.parts import SpikingDecodeHead, SpikingDenseHead, SpikingNeck, declare_part
from sakd_dense.timesteps import PrefixReader
from tests.helpers.scenes import build
from tests.helpers.spiking_models import (
    DECODERS,
    HEADS,
    MEANS,
    MODELS_OF,
    NECKS,
    UNDECLARED,
    batch_for,
    decoder,
    detector,
    lively,
    segments,
)


def test_every_part_is_tested():
    kinds = {k.__name__ for k in (SpikingNeck, SpikingDenseHead, SpikingDecodeHead)}
    assert set(PART_TWINS) == {*HEADS, *NECKS, *DECODERS, *kinds}


@pytest.mark.parametrize("name", MODELS_OF)
def test_names_and_shapes_are_the_teachers(name):
    cfg = MODELS_OF[name]()
    model = build(cfg)
    twin = MODELS.build(ann_of(cfg))
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (model, twin)]
    assert shapes[0] == shapes[1]
    assert not any(isinstance(m, SpikingNeuron) for m in twin.modules())
    kinds = {type(m).__name__ for m in model.modules()}
    assert name in kinds or (name in UNDECLARED and f"Spiking{name}" in kinds)


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS_OF)
def test_neurons_fire_and_what_they_feed_are_spikes(name):
    model = lively(MODELS_OF[name]())
    reading = measure(model, [batch_for(name)])
    for part in reading.parts():
        layer = reading.total(part)
        assert 0 < layer.spikes.rate < 1, part
        assert layer.operations.count_ac > 0, part
        if part != "backbone" and name not in MEANS:  # not one multiplication
            assert layer.operations.count_mac == 0, part


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS_OF)
def test_every_t_is_read_from_one_pass(name):
    model, batch = lively(MODELS_OF[name]()), batch_for(name)
    read = PrefixReader(model, (1, 2, 4)).read(lambda: model.test_step(copy.deepcopy(batch)))
    said = set()
    for t in (1, 2, 4):
        model.backbone.time_steps = t
        for one, other in zip(read[t], model.test_step(copy.deepcopy(batch)), strict=True):
            found = "seg_logits" if segments(name) else "pred_instances"
            a, b = dict(one.get(found).items()), dict(other.get(found).items())
            torch.testing.assert_close(a, b)
            said.add((t, str(a)))
    assert len({text for _, text in said}) > 2  # and T matters


def tensors(outputs: object) -> list[torch.Tensor]:
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [t for part in outputs for t in tensors(part)]


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS_OF)
def test_each_image_is_read_where_it_is_said(name):
    """The first at t = 1, the second at T: as in a pass of that many steps."""
    model = lively(MODELS_OF[name]())
    data = model.data_preprocessor(batch_for(name))
    images = torch.cat([data["inputs"], data["inputs"].flip(-1)])
    whole = tensors(model(images, mode="tensor"))
    with read_at(model, lambda batch, steps: torch.tensor([1, steps] * (batch // 2))):
        mixed = tensors(model(images, mode="tensor"))
    model.backbone.time_steps = 1
    first = tensors(model(images, mode="tensor"))
    for a, b, c in zip(mixed, first, whole, strict=True):
        torch.testing.assert_close(a[::2], b[::2])
        torch.testing.assert_close(a[1::2], c[1::2])
    assert any(not torch.equal(b, c) for b, c in zip(first, whole, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("name", HEADS)
def test_levels_share_weights_and_no_state(name):
    """Other images on the first level change nothing on the others, nor does a call before."""
    head = lively(detector(head=name)).bbox_head
    maps = [torch.rand(3, 2, 8, s, s).round() for s in (8, 4, 2)]
    before = head(maps)
    again = head([torch.rand(3, 2, 8, 8, 8).round(), *maps[1:]])
    assert head(maps)[0][0].shape[0] == 2  # [B, ...]: over time
    for a, b in zip(before, again, strict=True):
        assert not torch.equal(a[0], b[0])
        for x, y in zip(a[1:], b[1:], strict=True):
            assert torch.equal(x, y)
    for a, b in zip(before, head(maps), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@torch.no_grad()
def test_against_steps_one_by_one():
    """An FCN head by SpikingJelly's single-step neurons, in a loop over t."""
    cfg = decoder()
    cfg["decode_head"]["concat_input"] = False
    head = lively(cfg).decode_head
    x = [torch.rand(3, 2, c, 8, 8).round() for c in (8, 16, 32, 64)]
    (conv,) = head.convs
    node = copy.deepcopy(conv.activate.node)
    node.step_mode = "s"
    functional.reset_net(node)
    node.v = start_of(node)
    steps = []
    for t in range(3):
        steps.append(
            nn.functional.conv2d(
                node(conv.norm(conv.conv(x[3][t]))), head.conv_seg.weight, head.conv_seg.bias
            )
        )
    torch.testing.assert_close(head(x), sum(steps) / 3)


@pytest.mark.parametrize("name", MODELS_OF)
def test_sakd_teaches_it(name):
    cfg = MODELS_OF[name]()
    model = lively(cfg).train()
    init_default_scope("mmseg" if segments(name) else "mmdet")
    teacher = MODELS.build(ann_of(cfg)).eval().requires_grad_(False)
    teacher.load_state_dict(model.state_dict())
    response = find_response(model)
    assert response is not None
    terms = Terms(model, teacher, LevelTwo(prefixes="random"), response)
    data = model.data_preprocessor(batch_for(name), True)
    losses = model.loss(data["inputs"], data["data_samples"])
    added = terms(data["inputs"], data["data_samples"], prefix=2)
    names = {k.removeprefix("loss_sakd_") for k in added}
    own = {n for n in names if not n.startswith("prefix")}
    assert own == {"feat", *(n for n in response.terms if n in own)} and len(own) > 1
    assert {f"prefix_{n}" for n in own} <= names
    assert all(v.isfinite() for v in added.values())
    sum(added.values()).backward()
    for part in ("neck", "decode_head", "bbox_head"):
        module = getattr(model, part, None)
        if module is not None:
            assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    assert losses and not any("sakd" in k for k in losses)


def test_rates_are_refused():
    model = build({**detector(), "backbone": {**detector()["backbone"], "output": "rate"}})
    with pytest.raises(ValueError, match=r"SpikingFPN expects sequences .*output='sequence'"):
        model.neck(model.backbone(torch.rand(1, 3, 64, 64)))


def test_a_neck_without_activations_is_refused():
    cfg = detector()
    cfg["neck"]["act_cfg"] = None
    with pytest.raises(ValueError, match="SpikingFPN has no activation"):
        build(cfg)


@torch.no_grad()
def test_declared_or_named_in_a_config_it_is_the_same():
    declared, cfg = lively(detector()), detector()
    act = dict(norm_cfg=dict(type="BN"), act_cfg=dict(type="ReLU"))
    cfg["neck"].update(type="SpikingNeck", of="mmdet.FPN", **act)
    named = build(cfg)
    named.load_state_dict(declared.state_dict())
    assert type(named.neck).__name__ == "SpikingFPN"
    x = torch.rand(1, 3, 64, 64)
    for a, b in zip(declared.extract_feat(x), named.extract_feat(x), strict=True):
        assert a.any() and torch.equal(a, b)


@pytest.mark.parametrize("of", ["NoSuchNeck", "SpikingNeck"])
def test_a_part_that_is_not_there_is_named(of):
    cfg = detector()
    cfg["neck"].update(type="SpikingNeck", of=of)
    with pytest.raises(ValueError, match=f"SpikingNeck: of='{of}' is not in the .*'mmdet'"):
        build(cfg)


class Plain(nn.Module):
    """A neck of one's own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())

    def forward(self, inputs):
        return tuple(self.layers(x) for x in inputs)


def test_a_neck_of_ones_own():
    part = declare_part(Plain, SpikingNeck)
    try:
        neck = MODELS.build(dict(type="SpikingPlain", channels=4, neuron="IFNode"))
        assert isinstance(neck, part) and type(neck.layers[1].node).__name__ == "IFNode"
        (out,) = neck((torch.rand(2, 1, 4, 8, 8),))
        assert out.shape == (2, 1, 4, 8, 8) and set(out.unique().tolist()) <= {0.0, 1.0}
        cfg = dict(type="X", backbone=dict(type="SEWResNet"), neck=dict(type="SpikingPlain"))
        assert ann_of(cfg)["neck"] == dict(type="Plain")
    finally:
        MODELS.module_dict.pop("SpikingPlain")
        PART_TWINS.pop("SpikingPlain")


def test_kinds_are_what_they_say():
    kinds = {SpikingNeck: NECKS, SpikingDenseHead: HEADS, SpikingDecodeHead: DECODERS}
    for kind, names in kinds.items():
        assert all(issubclass(MODELS.get(n), kind) for n in names)
