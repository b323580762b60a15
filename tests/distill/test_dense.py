"""Responses of one-stage heads: RetinaNet (anchors), ATSS (anchors, centerness), FCOS (points)."""

from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.config.twins import ann_of
from sakd_dense.distill.responses import DenseHeadResponse, find_response
from sakd_dense.distill.responses.dense import compare_heads
from tests.helpers.scenes import build, retinanet

ANCHORS = dict(type="AnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0])
HEADS: dict[str, dict[str, Any]] = {
    "RetinaNet": dict(type="RetinaHead"),
    "ATSS": dict(
        type="ATSSHead",
        norm_cfg=dict(type="GN", num_groups=2),
        anchor_generator=dict(ANCHORS, strides=[8, 16, 32]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
    ),
    "FCOS": dict(type="FCOSHead", strides=[8, 16, 32], norm_on_bbox=True, norm_cfg=None),
    "FCOS-exp": dict(type="FCOSHead", strides=[8, 16, 32], norm_cfg=None),
}
SIZES = ((64, 64), (64, 96))


def config(head: str) -> dict[str, Any]:
    cfg = retinanet(depth=18)
    if head != "RetinaNet":
        cfg["type"] = head.partition("-")[0]
        cfg["bbox_head"] = dict(
            num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1, **HEADS[head]
        )
        if head == "ATSS":
            cfg["train_cfg"] = dict(
                assigner=dict(type="ATSSAssigner", topk=3), allowed_border=-1, pos_weight=-1
            )
    return cfg


def models(head: str):
    student = build(config(head)).train()
    init_default_scope("mmdet")
    teacher = MODELS.build(ann_of(config(head))).eval()
    teacher.load_state_dict(student.state_dict())
    return student, teacher


@pytest.fixture(params=HEADS)
def pair(request):
    return models(request.param)


def answers(student, teacher, features):
    response = find_response(student)
    return response, response.run(student, features), response.run(teacher, features)


def features(batch: int = 2, scale: int = 1) -> tuple[torch.Tensor, ...]:
    make = torch.Generator().manual_seed(1)
    maps = [torch.rand(batch, 8 * 2**i, 16 // 2**i, 16 // 2**i, generator=make) for i in range(4)]
    return tuple(m.repeat(1, 1, scale, scale) for m in maps)


def test_the_kind_is_found(pair):
    assert isinstance(find_response(pair[0]), DenseHeadResponse)


def test_zero_when_both_say_the_same(pair):
    """Also between a student in training mode and a teacher in eval (FCOS scales its boxes)."""
    student, teacher = pair
    response, mine, theirs = answers(student, teacher, features())
    for name, value in response.compare(mine, theirs, student).items():
        assert value.item() == pytest.approx(0, abs=1e-5), name
    assert not teacher.training and not teacher.bbox_head.training


def test_terms_and_gradients(pair):
    student, teacher = pair
    with torch.no_grad():  # As far apart as rounding is not: fresh heads answer all alike.
        for weight in teacher.bbox_head.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    response = find_response(student)
    mine = response.run(student, features())
    theirs = response.run(teacher, features())
    terms = response.compare(mine, theirs, student)
    centerness = {"quality"} if hasattr(student.bbox_head, "loss_centerness") else set()
    assert set(terms) == {"cls", "box"} | centerness
    for name, value in terms.items():
        assert value.dtype == torch.float32 and value.isfinite() and value > 0, name
    sum(terms.values()).backward()
    assert any(p.grad is not None and p.grad.any() for p in student.bbox_head.parameters())


def test_scale_does_not_depend_on_image_size_or_batch(pair):
    """The outputs of a head, repeated over a larger image and a larger batch."""
    student, teacher = pair
    response = find_response(student)
    with torch.no_grad():
        mine = response.run(student, features())
        theirs = response.run(teacher, tuple(1.5 * f for f in features()))
    expected = response.compare(mine, theirs, student)
    for times in ((3, 1, 1, 1), (1, 1, 2, 2)):
        larger = [
            (tuple([x.repeat(times) for x in level] for level in out), [])
            for out, _ in (mine, theirs)
        ]
        for name, value in response.compare(*larger, student).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def test_a_teacher_that_sees_nothing_gives_finite_terms(pair):
    student, _ = pair
    response = find_response(student)
    mine = response.run(student, features())
    nothing = tuple([torch.full_like(x, -100.0) for x in level] for level in mine[0]), []
    terms = response.compare(mine, nothing, student)
    assert all(v.isfinite() for v in terms.values())


def test_a_plain_reference_by_hand():
    """One anchor, one class: every number by hand."""
    student, _ = models("RetinaNet")
    student.bbox_head.cls_out_channels = 1
    logit = torch.logit
    mine = ([logit(torch.full((1, 1, 1, 1), 0.5))], [torch.zeros(1, 4, 1, 1)])
    theirs = ([logit(torch.full((1, 1, 1, 1), 0.8))], [torch.full((1, 4, 1, 1), 0.3)])
    terms = compare_heads(mine, theirs, student.bbox_head)
    kl = 0.8 * torch.tensor(0.8 / 0.5).log() + 0.2 * torch.tensor(0.2 / 0.5).log()
    assert terms["cls"].item() == pytest.approx(0.3 * kl.item() / 0.8, rel=1e-4)
    assert terms["box"].item() == pytest.approx(0.3, rel=1e-4)


def test_no_response_for_a_head_that_is_not_known():
    student, _ = models("RetinaNet")
    student.bbox_head = torch.nn.Conv2d(1, 1, 1)
    assert find_response(student) is None


@pytest.mark.parametrize(
    "args,says",
    [
        (dict(seg=1.0), "seg is not a term"),
        (dict(gamma=-1), "gamma=-1"),
        (dict(box_loss="l2"), "box_loss='l2'"),
        (dict(tau=0), "tau=0"),
    ],
)
def test_bad_arguments_are_named(args, says):
    with pytest.raises(ValueError, match=says):
        DenseHeadResponse(**args)
