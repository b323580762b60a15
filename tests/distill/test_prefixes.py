"""Which prefixes are taught, and how neck and head see them."""

from collections import Counter
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from mmdet.models import RetinaNet
from mmpretrain.models import ImageClassifier
from torch import nn

from sakd_dense.backbones import SEWResNet, SpikingResNet
from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.prefixes import (
    norms_as_in_test,
    prefix_rates,
    read_at,
    resolve_prefixes,
    sample_count,
    sample_prefix,
    sample_read_steps,
)


def test_a_random_prefix_is_shorter_than_t_and_the_same_everywhere():
    drawn = [sample_prefix(4, seed=1, iteration=i) for i in range(200)]
    assert set(drawn) == {1, 2, 3}
    assert drawn == [sample_prefix(4, seed=1, iteration=i) for i in range(200)]
    assert drawn != [sample_prefix(4, seed=2, iteration=i) for i in range(200)]
    assert sample_prefix(1, seed=1, iteration=0) is None


@pytest.mark.parametrize("time_steps", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("counts", [(1, 2), (1, 2, 4), (1, 2, 4, 8)])
@pytest.mark.parametrize("kind", ["random", "image"])
def test_every_pair_of_a_prefix_and_a_count_is_taught(time_steps, counts, kind):
    """Independent streams: each pair about as often as the others."""
    pairs = Counter()
    for i in range(2000):
        count = sample_count(counts, seed=3, iteration=i)
        if kind == "random":
            pairs[sample_prefix(time_steps, seed=3, iteration=i), count] += 1
        else:
            (t,) = sample_read_steps(1.0, seed=3, iteration=i)(1, time_steps).tolist()
            pairs[t, count] += 1
    cells = (time_steps - 1) * len(counts)
    assert set(pairs) == set(product(range(1, time_steps), counts))
    assert min(pairs.values()) > 0.5 * 2000 / cells


@pytest.mark.parametrize(
    "model,time,chosen",
    [
        (RetinaNet, None, "image"),
        (RetinaNet, "first", "random"),  # event frames
        (RetinaNet, "mean", "image"),
        (ImageClassifier, None, "random"),
    ],
)
def test_the_default_depends_on_the_task(model, time, chosen):
    student = model.__new__(model)
    student.__dict__["data_preprocessor"] = SimpleNamespace(time=time)
    assert resolve_prefixes(LevelTwo(), student).prefixes == chosen
    for kind in (None, "random", "image"):
        options = LevelTwo(prefixes=kind)
        assert resolve_prefixes(options, student) == options


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


def test_a_share_of_the_images_is_read_early():
    reads = [sample_read_steps(0.25, seed=1, iteration=i)(8, 4) for i in range(200)]
    drawn = torch.cat(reads)
    assert set(drawn.tolist()) == {1, 2, 3, 4}
    assert 0.2 < (drawn < 4).float().mean() < 0.3
    assert all(torch.equal(r, sample_read_steps(0.25, 1, i)(8, 4)) for i, r in enumerate(reads))
    other = torch.cat([sample_read_steps(0.25, 1, i, rank=1)(8, 4) for i in range(200)])
    assert not torch.equal(drawn, other)


@pytest.mark.parametrize("share,early", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_batch_of_one_is_read_early_in_its_share_of_the_iterations(share, early):
    drawn = torch.cat([sample_read_steps(share, 0, i)(1, 4) for i in range(400)])
    assert (drawn < 4).float().mean().item() == pytest.approx(early, abs=0.1)
    assert sample_read_steps(share, 0, 0)(3, 1).tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", [SEWResNet, SpikingResNet])
@pytest.mark.parametrize("frames", [False, True])
def test_rates_and_gradients_are_those_of_each_images_prefix(kind, frames):
    torch.manual_seed(0)
    backbone = kind(18, base_channels=8, time_steps=4, zero_init_residual=False)
    backbone.init_weights()
    backbone.double()  # gradients of the two layouts differ in the order of their sums
    images = torch.randn(*((4,) if frames else ()), 3, 3, 32, 32, dtype=torch.float64)
    last = torch.tensor([1, 4, 2])
    found = []
    for early in (False, True):
        backbone.zero_grad()
        backbone.train()
        backbone.output = "rate" if early else "sequence"
        if early:
            with read_at(backbone, lambda batch, steps: last):
                rates = backbone(images)
        else:
            sequences = backbone(images)
            shares = (torch.arange(4).view(-1, 1) < last) / last  # [T, B]
            rates = [(s * shares.view(4, 3, 1, 1, 1)).sum(0) for s in sequences]
        sum(r.square().sum() for r in rates).backward()
        found.append((*rates, *(p.grad for p in backbone.parameters())))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    assert backbone.state.read_until is None
