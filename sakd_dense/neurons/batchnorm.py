"""BatchNorm in front of a neuron, as a scale and a shift of the pass (:mod:`.fused`)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .sequences import unrepeated


class Statistics(NamedTuple):
    """Of a BatchNorm: ``[C]`` each, and what its gradient depends on."""

    mean: Tensor
    variance: Tensor
    inverse_std: Tensor  # 1 / sqrt(variance + eps)
    of_batch: bool  # so that gradients pass through them
    eps: float


def is_observed(module: nn.Module) -> bool:
    """Whether a forward hook waits for the output of ``module``, which then must run by itself.

    A fused pass computes that output together with what follows and never calls the module.
    """
    return bool(module._forward_hooks)


def fits(norm: nn.Module | None, x: Tensor) -> bool:
    """Whether ``norm`` is a plain BatchNorm whose statistics PyTorch takes by itself."""
    if norm is None or type(norm) is not nn.BatchNorm2d:
        return False
    if is_observed(norm) or norm._forward_pre_hooks:
        return False
    images, _ = unrepeated(x, 1)
    return not norm.training or images.numel() > images.shape[1]  # else it says what is wrong


@torch.no_grad()
def take_statistics(norm: nn.BatchNorm2d, x: Tensor) -> Statistics:
    """Those that ``norm`` uses for ``x``; in train mode it counts the batch, as PyTorch does."""
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
    exact = variance.double() if of_batch else variance  # as PyTorch does it
    inverse_std = (exact + norm.eps).rsqrt().to(variance.dtype)
    return Statistics(mean, variance, inverse_std, of_batch, norm.eps)


@torch.no_grad()
def as_affine(
    statistics: Statistics, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Scale and shift, ``[C]`` each, rounded as PyTorch does."""
    inverse = statistics.inverse_std
    scale = inverse if weight is None else inverse * weight
    shift = -statistics.mean.double() * scale.double()
    return scale, (shift if bias is None else bias + shift).float()


def gradients(
    grad: Tensor, x: Tensor, weight: Tensor | None, statistics: Statistics, needed: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradient by the output -> those by the input, the weight and the bias."""
    return torch.ops.aten.native_batch_norm_backward(
        grad,
        x,
        weight,
        statistics.mean,
        statistics.variance,
        statistics.mean,
        statistics.inverse_std,
        statistics.of_batch,
        statistics.eps,
        needed,
    )


__all__ = ["Statistics", "as_affine", "fits", "gradients", "is_observed", "take_statistics"]
