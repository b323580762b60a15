"""Statistics of BatchNorm measured by forward passes."""

import pytest
import torch
from torch import nn

from sakd_dense.transfer.batchnorm import reestimate


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.BatchNorm2d(4))


def batches(count: int) -> list[torch.Tensor]:
    return [torch.rand(4, 3, 5, 5) * 3 for _ in range(count)]


def test_statistics_are_the_mean_over_the_batches() -> None:
    model, data = network(), batches(5)
    model[1].running_mean.fill_(100.0)
    assert reestimate(model, data, 3) == 3
    with torch.no_grad():
        seen = [model[0](x) for x in data[:3]]
    means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(model[1].running_mean, means)
    torch.testing.assert_close(model[1].running_var, variances)


def test_nothing_else_changes() -> None:
    model = network()
    model[1].eval()
    model[3].momentum = 0.3
    weights = {k: v.clone() for k, v in model.named_parameters()}
    modes = [m.training for m in model.modules()]
    reestimate(model, batches(2), 2)
    assert all(torch.equal(v, weights[k]) for k, v in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    assert [m.training for m in model.modules()] == modes
    assert (model[1].momentum, model[3].momentum) == (0.1, 0.3)


def test_a_short_loader_is_used_as_far_as_it_goes() -> None:
    assert reestimate(network(), batches(2), 50) == 2


def test_after_an_error_the_statistics_are_as_before() -> None:
    model = network()
    model[1].running_mean.fill_(100.0)
    with pytest.raises(ValueError, match="loader is empty"):
        reestimate(model, [], 3)
    with pytest.raises(RuntimeError):
        reestimate(model, [*batches(1), torch.rand(1, 7, 5, 5)], 3)
    assert torch.equal(model[1].running_mean, torch.full((4,), 100.0))
    assert model[1].momentum == 0.1 and model[1].training


def test_bad_numbers_and_models_without_batchnorm() -> None:
    with pytest.raises(ValueError, match="num_batches=0"):
        reestimate(network(), batches(1), 0)
    assert reestimate(nn.Linear(2, 2), batches(1), 1) == 0
