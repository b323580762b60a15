"""Which prefixes are taught, and how neck and head see them."""

import pytest
import torch
from torch import nn

from sakd_dense.distill.prefixes import draw, norms_as_in_test, prefix_rates


def test_a_random_prefix_is_shorter_than_t_and_the_same_everywhere():
    drawn = [tuple(draw("random", 4, seed=1, iteration=i)) for i in range(200)]
    assert {t for (t,) in drawn} == {1, 2, 3}
    assert drawn == [tuple(draw("random", 4, seed=1, iteration=i)) for i in range(200)]
    assert drawn != [tuple(draw("random", 4, seed=2, iteration=i)) for i in range(200)]


@pytest.mark.parametrize(
    "prefixes,steps,expected",
    [
        (None, 4, ()),
        ("all", 4, (1, 2, 3)),
        ("all", 1, ()),
        ("random", 1, ()),
        (2, 4, (2,)),
        (4, 4, ()),
    ],
)
def test_prefixes(prefixes, steps, expected):
    assert tuple(draw(prefixes, steps, 0, 0)) == expected


def test_rates_of_a_prefix_are_its_running_mean():
    sequence = torch.rand(4, 2, 3, 5, 5)
    torch.testing.assert_close(prefix_rates((sequence,), 3)[0], sum(sequence[:3]) / 3)


def test_batchnorm_of_neck_and_head_is_read_not_written():
    model = nn.Module()
    model.backbone, model.neck = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
    model.frozen = nn.BatchNorm2d(3).eval()
    x = torch.rand(4, 3, 5, 5) + 3
    with norms_as_in_test(model, model.backbone):
        assert model.backbone.training and not model.neck[0].training
        torch.testing.assert_close(model.neck(x), x / (1 + 1e-5) ** 0.5)
    assert not model.neck[0].running_mean.any()
    assert model.neck[0].training and not model.frozen.training
