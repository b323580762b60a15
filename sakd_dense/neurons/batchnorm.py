"""BatchNorm before a neuron, as a scale and a shift in the fused pass (:mod:`.fused`)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# The base of all, also of those that MMEngine puts in place of SyncBN on a CPU.
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from .sequences import channels_last, unrepeated

#: Multiples of this many channels are fast in PyTorch's channels-last backward on CPUs.
VECTOR = 8

#: Gradients with respect to the input, the weight and the bias.
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]


class Statistics(NamedTuple):
    """Statistics of a BatchNorm, ``[C]`` each, with the values that its gradient depends on."""

    mean: Tensor
    variance: Tensor
    inverse_std: Tensor  # 1 / sqrt(variance + eps)
    of_batch: bool  # if True, gradients pass through mean and variance
    eps: float


def is_observed(module: nn.Module) -> bool:
    """Returns whether a forward hook needs the output of ``module``, which must then be called.

    A fused pass computes that output together with the following layers and never calls the module.
    """
    return bool(module._forward_hooks)


def fits(norm: nn.Module | None, x: Tensor) -> bool:
    """Returns whether the fused pass can compute ``norm`` on ``x``.

    ``norm`` must be an ``nn.BatchNorm2d``, not a subclass, and have no forward hooks. In train mode
    ``x`` must contain more than one value per channel.
    """
    if norm is None or type(norm) is not nn.BatchNorm2d:
        return False
    if is_observed(norm) or norm._forward_pre_hooks:
        return False
    images, _ = unrepeated(x, 1)
    return not norm.training or images.numel() > images.shape[1]  # else PyTorch raises an error


@torch.no_grad()
def take_statistics(norm: nn.BatchNorm2d, x: Tensor) -> Statistics:
    """Returns the statistics that ``norm`` uses for ``x``.

    In train mode ``norm`` counts the batch, as in PyTorch.
    """
    if not norm.training and norm.running_mean is not None:
        mean, variance, of_batch = norm.running_mean, norm.running_var, False
    else:
        momentum = norm.momentum
        if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(norm.num_batches_tracked)
        tracked = norm.training and norm.track_running_stats
        kept = (norm.running_mean, norm.running_var) if tracked else (None, None)
        mean, variance = torch.batch_norm_update_stats(x.detach(), *kept, momentum or 0.0)
        of_batch = True
    exact = variance.double() if of_batch else variance  # as in PyTorch
    inverse_std = (exact + norm.eps).rsqrt().to(variance.dtype)
    return Statistics(mean, variance, inverse_std, of_batch, norm.eps)


@torch.no_grad()
def as_affine(
    statistics: Statistics, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns scale and shift, ``[C]`` each, rounded as in PyTorch."""
    inverse = statistics.inverse_std
    scale = inverse if weight is None else inverse * weight
    shift = -statistics.mean.double() * scale.double()
    return scale, (shift if bias is None else bias + shift).float()


def gradients(
    grad: Tensor, x: Tensor, weight: Tensor | None, statistics: Statistics, needed: list[bool]
) -> Gradients:
    """Returns the gradients with respect to the input, the weight and the bias of a BatchNorm.

    Args:
        grad: gradient with respect to the output.
        x: input of the BatchNorm.
        weight: weight of the BatchNorm, or None.
        statistics: statistics of the forward.
        needed: whether to compute each of the three gradients; the others are None.
    """
    pixels = _pixels_in_a_row(x)
    if pixels > 1:
        return _gradients_in_rows(pixels, grad, x, weight, statistics, needed)
    return _gradients(grad, x, weight, statistics, needed)


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor | None, statistics: Statistics, needed: list[bool]
) -> Gradients:
    mean, variance, inverse_std, of_batch, eps = statistics
    return torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, mean, variance, mean, inverse_std, of_batch, eps, needed
    )


def _pixels_in_a_row(x: Tensor) -> int:
    """Returns how many pixels to join for PyTorch's backward on ``x``; 1 leaves ``x`` as it is.

    On a CPU, 8 channels-last images of 32x32 take 0.14 ms with 16 channels, 1.1 ms with 12, 18 or
    20, and 0.4 ms joined. Multiples of 8 channels, and small images, take longer joined.
    """
    channels = x.shape[1]
    pixels = VECTOR // math.gcd(channels, VECTOR)
    joined = (
        pixels > 1
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() >= 2**15
        and x.numel() // channels % pixels == 0
        and channels_last(x)
    )
    return pixels if joined else 1


def _gradients_in_rows(
    pixels: int,
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    statistics: Statistics,
    needed: list[bool],
) -> Gradients:
    """Returns the result of :func:`_gradients`, from rows of ``pixels * C`` channels.

    PyTorch computes the sums and ``scale * grad``. Through the statistics of a batch the gradient
    with respect to the input is (Ioffe and Szegedy, 2015, section 3)

        scale * (grad - mean(grad) - x_hat * mean(grad * x_hat)).
    """
    channels = x.shape[1]
    mean, variance, inverse_std, of_batch, eps = statistics

    def rows(v: Tensor) -> Tensor:
        return v.permute(0, 2, 3, 1).reshape(-1, pixels * channels)

    def wide(v: Tensor) -> Tensor:
        return v.expand(pixels, -1).reshape(-1)

    known = Statistics(wide(mean), wide(variance), wide(inverse_std), False, eps)
    wide_weight = None if weight is None else wide(weight)
    found: Any = _gradients(rows(grad), rows(x), wide_weight, known, [needed[0], True, True])
    by_x, *sums = found
    by_weight, by_bias = (v.view(pixels, channels).sum(0) for v in sums)
    if by_x is not None:
        if of_batch:
            scale = inverse_std if weight is None else inverse_std * weight
            values = x.numel() // channels
            slope = -scale * inverse_std * by_weight / values
            shift = -scale * by_bias / values - slope * mean
            by_x = by_x.addcmul_(rows(x), wide(slope)).add_(wide(shift))
        by_x = by_x.as_strided(x.shape, x.stride())
    return by_x, by_weight if needed[1] else None, by_bias if needed[2] else None


__all__ = [
    "BatchNorm",
    "Statistics",
    "as_affine",
    "fits",
    "gradients",
    "is_observed",
    "take_statistics",
]
