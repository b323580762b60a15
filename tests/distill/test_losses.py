"""Feature losses against plain references, and what every one of them must keep."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from scipy.stats import pearsonr

from sakd_dense.distill.losses import channel_wise_distillation, pearson_distance, rate_mse
from sakd_dense.distill.schedule import Weight

LOSSES = [
    dict(type="FeatureMSE"),
    dict(type="FeatureMSE", scale="channel"),
    dict(type="FeaturePKD"),
    dict(type="FeatureCWD"),
    dict(type="FeatureCWD", tau=4.0),
]


def pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    shape = shape or (2, 5, 6, 7)
    return torch.rand(shape, requires_grad=True), 3 * torch.randn(shape).relu()


@pytest.mark.parametrize("cfg", LOSSES)
def test_zero_when_equal_and_positive_otherwise(cfg):
    loss = MODELS.build(cfg)
    student, teacher = pair()
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    assert loss(student, teacher) > 1e-3


@pytest.mark.parametrize("cfg", LOSSES)
def test_scale_does_not_depend_on_resolution_or_batch(cfg):
    loss = MODELS.build(cfg)
    student, teacher = pair()
    expected = loss(student, teacher)
    finer = [F.interpolate(x, scale_factor=4) for x in (student, teacher)]
    torch.testing.assert_close(loss(*finer), expected, rtol=1e-4, atol=1e-6)
    more = [x.repeat(3, 1, 1, 1) for x in (student, teacher)]
    torch.testing.assert_close(loss(*more), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cfg", LOSSES)
def test_gradient_is_the_students_alone_and_finite_for_silent_channels(cfg):
    loss = MODELS.build(cfg)
    student, teacher = pair()
    student.data[:, 0] = 0
    teacher[:, 1] = 0
    teacher.requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.isfinite().all() and student.grad.abs().max() < 10


@pytest.mark.parametrize("cfg", LOSSES)
def test_half_precision_is_computed_in_float32(cfg):
    student, teacher = pair()
    value = MODELS.build(cfg)(student.bfloat16(), teacher.bfloat16())
    assert value.dtype == torch.float32


@pytest.mark.parametrize("cfg", LOSSES)
def test_pooled_features_are_maps_of_one_pixel(cfg):
    loss, (student, teacher) = MODELS.build(cfg), pair(8, 5)
    maps = [x.view(8, 5, 1, 1) for x in (student, teacher)]
    torch.testing.assert_close(loss(student, teacher), loss(*maps))
    assert (loss(student, teacher) > 1e-3) == (cfg["type"] != "FeatureCWD")


@pytest.mark.parametrize("cfg", LOSSES)
def test_other_shapes_are_refused_with_both(cfg):
    with pytest.raises(ValueError, match=r"\(2, 5, 6, 7\).*\(2, 5, 3, 7\)"):
        MODELS.build(cfg)(torch.rand(2, 5, 6, 7), torch.rand(2, 5, 3, 7))


def test_mse_reference():
    student, teacher = pair()
    torch.testing.assert_close(rate_mse(student, teacher), F.mse_loss(student, teacher))
    by_channel = [
        (student[:, c] - teacher[:, c]).square().mean() / (teacher[:, c].square().mean() + 1e-3)
        for c in range(5)
    ]
    mine = rate_mse(student, teacher, "channel")
    torch.testing.assert_close(mine, torch.stack(by_channel).mean())


def test_pkd_is_one_minus_pearsons_correlation():
    student, teacher = pair()
    reference = [
        1 - pearsonr(student[:, c].detach().flatten(), teacher[:, c].flatten()).statistic
        for c in range(5)
    ]
    mine = pearson_distance(student, teacher, eps=0.0).item()
    assert mine == pytest.approx(sum(reference) / 5, rel=1e-4)


def test_cwd_reference():
    student, teacher = pair()
    tau, total = 2.0, 0.0
    for b in range(2):
        for c in range(5):
            p = F.softmax(teacher[b, c].flatten() / tau, 0)
            q = F.softmax(student[b, c].flatten() / tau, 0)
            total += (p * (p / q).log()).sum() * tau**2
    torch.testing.assert_close(channel_wise_distillation(student, teacher, tau), total / 10)


@pytest.mark.parametrize(
    "cfg,says",
    [
        (dict(type="FeatureMSE", scale="pixel"), "scale='pixel'"),
        (dict(type="FeatureCWD", tau=0), "tau=0"),
    ],
)
def test_bad_arguments_are_named(cfg, says):
    with pytest.raises(ValueError, match=says):
        MODELS.build(cfg)


def test_weight_schedule():
    assert [Weight(0.5, "w").at(p) for p in (0, 0.5, 1)] == [0.5] * 3
    falling = Weight(dict(start=2.0, stop=0.0, begin=0.5, end=1.0), "w")
    assert [falling.at(p) for p in (0, 0.5, 0.75, 1)] == [2.0, 2.0, 1.0, 0.0]
    assert Weight(0, "w").off and not falling.off


@pytest.mark.parametrize(
    "value,says",
    [
        (-1, "start=-1"),
        (float("nan"), "nan"),
        ("1", "'1'"),
        (dict(start=1.0), "start=1.0, stop"),
        (dict(start=1, stop=0, when=3), "must be a number or dict"),
        (dict(start=1, stop=0, begin=0.5, end=0.5), "begin=0.5"),
        (dict(start=1, stop=0, end=100), "end=100"),
    ],
)
def test_bad_weights_are_named(value, says):
    with pytest.raises(ValueError, match=f"cls.*{says}" if says else "cls"):
        Weight(value, "cls")
