r"""BatchNorm and the neuron behind it in one pass over time.

.. math::
    X_t &= a\,Y_t + b, \qquad a = \gamma / \sqrt{\sigma^2 + \epsilon}, \quad b = \beta - a\mu \\
    O_t &= s\,S_t(X / s) + I_t & \text{SEW, ADD} \\
    O_t &= s\,S_t((X + I) / s) & \text{Spiking: the sum before the neuron}

*Y* is what the convolution gives, *X* the neuron's input (``fused.py``), *S* its spikes, *s* the
step of a ``NILIFNode`` (1 for others), *I* the shortcut of a block where there is one. X is never
written to memory, neither is U: backward computes both anew from Y (and I, where it is summed
before), which is all that is kept. The gradient by X needs no s: what multiplies it behind the
neuron divides it before. BatchNorm's statistics and its gradient are PyTorch's own, and X is
rounded as PyTorch rounds it where it multiplies and adds in one instruction (x86 with FMA): the
spikes are then those of the two one after the other.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .compiling import run
from .dynamics import Dynamics, Steps, each_step, fill, join
from .fused import as_separate_steps, channels_last, is_observed, output_buffer, unrepeated


class Affine(NamedTuple):
    """What happens to Y in front of the neuron, each ``[C, 1]``."""

    scale: Tensor
    shift: Tensor
    step: Tensor | None


def _normed(currents: Steps, scale: Tensor, shift: Tensor) -> list[Tensor]:
    # PyTorch's BatchNorm rounds once, after multiplying and adding, and to the input's dtype.
    if torch.compiler.is_compiling():
        # One instruction; converting to double and back took two thirds of the kernel's time.
        from torch._inductor.inductor_prims import fma

        normed = [fma(y.float(), scale.expand_as(y), shift.expand_as(y)) for y in currents]
    else:
        normed = [y.double() * scale.double() + shift.double() for y in currents]
    return [x.to(y.dtype).float() for x, y in zip(normed, currents, strict=True)]


def _charge(currents: Steps, affine: Affine, before: Steps | None) -> list[Tensor]:
    """What the neuron receives, in units of its step."""
    normed = _normed(currents, affine.scale, affine.shift)
    if before is not None:
        normed = [x + i.float() for x, i in zip(normed, before, strict=True)]
    return normed if affine.step is None else [x / affine.step for x in normed]


def _write(
    dynamics: Dynamics,
    into: Steps,
    currents: Steps,
    affine: Affine,
    before: Steps | None,
    behind: Steps | None,
) -> None:
    """Y at every t ``[R, C, M]`` -> O ``into`` T tensors, which may be the Y."""
    spikes, _ = dynamics.potentials(_charge(currents, affine, before))
    if affine.step is not None:
        spikes = [s * affine.step for s in spikes]
    fill(into, spikes, behind)


def _backward(
    dynamics: Dynamics, grad: Tensor, x: Tensor, affine: Affine, before: Tensor | None
) -> Tensor:
    """The gradient by O ``[T, R, C, M]`` -> that by X at every t, of the shape of ``grad``."""
    steps = grad.shape[0]
    currents = [x[t if x.shape[0] == steps else 0] for t in range(steps)]
    shortcut = None if before is None else list(before.unbind(0))
    _, above = dynamics.potentials(_charge(currents, affine, shortcut))
    return join(dynamics.gradients(each_step(grad, steps), above), x.dtype)


def _summed_backward(
    dynamics: Dynamics, grad: Tensor, x: Tensor, affine: Affine, before: Tensor | None
) -> Tensor:
    """The same for one Y at every t: ``[1, R, C, M]``."""
    return _backward(dynamics, grad, x, affine, before).sum(0, keepdim=True)


def _grid(x: Tensor, steps: int) -> Tensor:
    """``[T*B, C, H, W]`` -> ``[T, R, C, M]``, as it lies in memory."""
    if channels_last(x):
        return x.permute(0, 2, 3, 1).view(steps, -1, x.shape[1], 1)
    return x.view(steps, -1, x.shape[1], x[0, 0].numel())


def _laid_out_as(x: Tensor, reference: Tensor) -> Tensor:
    """``x`` in the memory layout of ``reference``."""
    return x.contiguous(
        memory_format=torch.channels_last if channels_last(reference) else torch.contiguous_format
    )


class Statistics(NamedTuple):
    """Of a BatchNorm, each ``[C]``."""

    mean: Tensor
    variance: Tensor
    inverse_std: Tensor  # 1 / sqrt(variance + eps)


@dataclass(frozen=True)
class _Pass:
    """All that a pass depends on beside tensors.

    Args:
        dynamics: of the neuron.
        steps: T of the output.
        stored_steps: T of the input: 1 if it is the same at every t.
        compiled: by ``torch.compile``.
        of_batch: whether the statistics are the batch's own, so that gradients pass through them.
        eps: of the BatchNorm.
        before: whether the shortcut is summed before the neuron.
    """

    dynamics: Dynamics
    steps: int
    stored_steps: int
    compiled: bool
    of_batch: bool
    eps: float
    before: bool


def _affine(
    weight: Tensor | None, bias: Tensor | None, statistics: Statistics, step: Tensor | None
) -> Affine:
    """A and b rounded as PyTorch does."""
    inverse = statistics.inverse_std
    scale = inverse if weight is None else inverse * weight
    shift = -statistics.mean.double() * scale.double()
    shift = (shift if bias is None else bias + shift).float()
    if step is not None:
        step = step.expand_as(scale).unsqueeze(1)
    return Affine(scale.unsqueeze(1), shift.unsqueeze(1), step)


def _forward(
    x: Tensor, affine: Affine, identity: Tensor | None, options: _Pass, owned: bool
) -> Tensor:
    steps = options.steps
    grid = _grid(x, options.stored_steps)
    identity = None if identity is None else _grid(identity, steps)
    out = output_buffer(grid, steps, identity, owned)
    currents = as_separate_steps(grid, steps)
    into = currents if out is grid else as_separate_steps(out, steps)
    shortcut = None if identity is None else as_separate_steps(identity, steps)
    sums = (shortcut, None) if options.before else (None, shortcut)
    run(_write, options.dynamics, options.compiled, into, currents, affine, *sums)
    if channels_last(x):
        return out.view(-1, *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
    return out.view(-1, *x.shape[1:])


class _NormFire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        identity: Tensor | None,
        statistics: Statistics,
        step: Tensor | None,
        options: _Pass,
    ) -> Tensor:
        affine = _affine(weight, bias, statistics, step)
        before = identity if options.before else None
        ctx.save_for_backward(x, weight, before, *affine, *statistics)
        ctx.options = options
        return _forward(x, affine, identity, options, owned=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, before, scale, shift, step, mean, variance, inverse_std = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, needs_identity, *_ = ctx.needs_input_grad
        options: _Pass = ctx.options
        kernel = _backward if options.stored_steps == options.steps else _summed_backward
        by_output = run(
            kernel,
            options.dynamics,
            options.compiled,
            _grid(_laid_out_as(grad, x), options.steps),
            _grid(x, options.stored_steps),
            Affine(scale, shift, step),
            None if before is None else _grid(before, options.steps),
        ).as_strided(x.shape, x.stride())
        by_x, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            by_output,
            x,
            weight,
            mean,
            variance,
            mean,
            inverse_std,
            options.of_batch,
            options.eps,
            [needs_x, needs_weight, weight is not None and needs_bias],
        )
        by_identity = None
        if needs_identity:
            by_identity = by_output if options.before else grad
        return by_x, by_weight, by_bias, by_identity, None, None, None


def fits(norm: nn.Module | None, x: Tensor) -> bool:
    """Whether ``norm`` is a plain BatchNorm whose statistics PyTorch takes by itself."""
    if norm is None or type(norm) is not nn.BatchNorm2d:
        return False
    if is_observed(norm) or norm._forward_pre_hooks:
        return False
    images, _ = unrepeated(x, 1)
    return not norm.training or images.numel() > images.shape[1]  # else it says what is wrong


def _statistics(norm: nn.BatchNorm2d, x: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Mean and variance to use, and whether they are the batch's; counts the batch (as PyTorch)."""
    if not norm.training and norm.running_mean is not None:
        return norm.running_mean, norm.running_var, False
    momentum = norm.momentum
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
    tracked = norm.training and norm.track_running_stats
    kept = (norm.running_mean, norm.running_var) if tracked else (None, None)
    mean, variance = torch.batch_norm_update_stats(x.detach(), *kept, momentum or 0.0)
    return mean, variance, True


def norm_fire(
    x: Tensor,
    norm: nn.BatchNorm2d,
    steps: int,
    dynamics: Dynamics,
    identity: Tensor | None = None,
    compiled: bool = True,
    owned: bool = False,
    before: bool = False,
    step: Tensor | None = None,
) -> Tensor:
    """``fire(norm(x)) + identity``, ``[T*B, C, H, W]``.

    Args:
        x: ``[T*B, C, H, W]``, T outermost, or ``[T, B, C, H, W]`` expanded from
            ``[B, C, H, W]``; contiguous or channels last; the result is laid out alike.
        norm: see :func:`fits`. In train mode it counts the batch.
        steps: T.
        dynamics: of the neuron.
        identity: of the result's shape.
        compiled: by ``torch.compile``.
        owned: ``x`` may be overwritten, where no gradient is asked for.
        before: ``fire(norm(x) + identity)`` instead; ``x`` is then no expanded one.
        step: of a ``NILIFNode``, ``[C]`` or ``[]``.
    """
    x, stored_steps = unrepeated(x, steps)
    x = _laid_out_as(x, x)
    with torch.no_grad():
        mean, variance, of_batch = _statistics(norm, x)
        exact = variance.double() if of_batch else variance  # as PyTorch does it
        inverse_std = (exact + norm.eps).rsqrt().to(variance.dtype)
    statistics = Statistics(mean, variance, inverse_std)
    if identity is not None:
        identity = _laid_out_as(identity, x)
    options = _Pass(dynamics, steps, stored_steps, compiled, of_batch, norm.eps, before)
    inputs = x, norm.weight, norm.bias, identity
    if torch.is_grad_enabled() and any(y is not None and y.requires_grad for y in inputs):
        return _NormFire.apply(*inputs, statistics, step, options)
    with torch.no_grad():
        affine = _affine(norm.weight, norm.bias, statistics, step)
    return _forward(x, affine, identity, options, owned)


__all__ = ["fits", "norm_fire"]
