r"""BatchNorm, neuron and shortcut in one pass over time, compiled or step by step.

.. math::
    X_t &= a\,Y_t + b, \qquad a = \gamma / \sqrt{\sigma^2 + \epsilon}, \quad b = \beta - a\mu \\
    O_t &= s\,S_t(X / s) + I_t & \text{SEW, ADD} \\
    O_t &= s\,S_t((X + I) / s) & \text{Spiking: the sum before the neuron}

*Y* is the output of the convolution, *X* the input of the neuron (*Y* itself without a BatchNorm),
*S* the spikes (:mod:`.dynamics`), *s* the step of a ``NILIFNode`` (1 for others), and *I* the
shortcut of a block that has one. X and the potential are never written to memory. Backward
recomputes both from Y (and from I, if it is summed before the neuron), which is all that is kept.
The gradient with respect to X does not contain s, which multiplies behind the neuron and divides
before it. The gradient with respect to s is

.. math::
    \bar s = \sum_t \bar O_t\, S_t - \bar X_t\, X_t / s

PyTorch computes the statistics and the gradient of BatchNorm. X is rounded as PyTorch rounds it
where it multiplies and adds in one instruction (x86 with FMA). The spikes then equal those of the
BatchNorm and the neuron run one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import batchnorm
from .batchnorm import Statistics
from .compiling import run
from .dynamics import Dynamics
from .kernels import Affine, gradient, gradient_and_step, outputs, overwrite, summed_gradient
from .sequences import (
    as_separate_steps,
    from_grid,
    grid,
    laid_out_as,
    unrepeated,
)


@dataclass(frozen=True)
class _Pass:
    """Options of a pass: all that it depends on except tensors.

    Args:
        dynamics: Dynamics of the neuron.
        steps: T of the output.
        stored_steps: T of the input; 1 if the input is the same at every t.
        by_channel: Whether scale, shift or step differ between channels.
        compiled: Whether ``torch.compile`` compiles the pass.
        before: Whether the shortcut is summed before the neuron.
    """

    dynamics: Dynamics
    steps: int
    stored_steps: int
    by_channel: bool
    compiled: bool
    before: bool

    def inputs(self, x: Tensor) -> Tensor:
        return grid(x, self.stored_steps, self.by_channel)

    def outputs(self, x: Tensor | None) -> Tensor | None:
        return None if x is None else grid(x, self.steps, self.by_channel)


@torch.no_grad()
def _affine(
    weight: Tensor | None, bias: Tensor | None, step: Tensor | None, statistics: Statistics | None
) -> Affine:
    scale = shift = None
    if statistics is not None:
        scale, shift = batchnorm.as_affine(statistics, weight, bias)
    return Affine(*(v if v is None else v.detach().view(-1, 1) for v in (scale, shift, step)))


def _forward(
    y: Tensor, affine: Affine, identity: Tensor | None, options: _Pass, owned: bool
) -> Tensor:
    steps, dynamics, compiled = options.steps, options.dynamics, options.compiled
    stored, shortcut = options.inputs(y), options.outputs(identity)
    dtype = y.dtype if identity is None else torch.promote_types(y.dtype, identity.dtype)
    sums = (shortcut, None) if options.before else (None, shortcut)
    if owned and options.stored_steps == steps and y.dtype == dtype:
        separate = (None if i is None else as_separate_steps(i) for i in sums)
        run(overwrite, dynamics, compiled, as_separate_steps(stored), affine, *separate)
        return y
    out = run(outputs, dynamics, compiled, stored, affine, *sums, steps, dtype)
    return from_grid(out, y)


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        identity: Tensor | None,
        step: Tensor | None,
        statistics: Statistics | None,
        options: _Pass,
    ) -> Tensor:
        affine = _affine(weight, bias, step, statistics)
        before = identity if options.before else None
        ctx.save_for_backward(y, weight, before, *affine)
        ctx.statistics, ctx.options = statistics, options
        ctx.step_shape = None if step is None else step.shape
        return _forward(y, affine, identity, options, owned=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, weight, before, *affine = ctx.saved_tensors
        needs_y, needs_weight, needs_bias, needs_identity, needs_step, *_ = ctx.needs_input_grad
        options: _Pass = ctx.options
        kernel: Any = gradient if options.stored_steps == options.steps else summed_gradient
        found = run(
            gradient_and_step if needs_step else kernel,
            options.dynamics,
            options.compiled,
            options.outputs(laid_out_as(grad, y)),
            options.inputs(y),
            Affine(*affine),
            options.outputs(before),
        )
        by_step = None
        if needs_step:
            found, by_step = found
            by_step = by_step if ctx.step_shape else by_step.sum()
            if options.stored_steps != options.steps:
                found = found.sum(0, keepdim=True)
        by_x = found.as_strided(y.shape, y.stride())
        by_y, by_weight, by_bias = by_x, None, None
        if ctx.statistics is not None:
            needed = [needs_y, needs_weight, weight is not None and needs_bias]
            by_y, by_weight, by_bias = batchnorm.gradients(by_x, y, weight, ctx.statistics, needed)
        by_identity = None
        if needs_identity:
            by_identity = by_x if options.before else grad
        return by_y, by_weight, by_bias, by_identity, by_step, None, None


def fire(
    x: Tensor,
    steps: int,
    dynamics: Dynamics,
    norm: nn.BatchNorm2d | None = None,
    identity: Tensor | None = None,
    compiled: bool = True,
    owned: bool = False,
    before: bool = False,
    step: Tensor | None = None,
) -> Tensor:
    """Returns ``spikes(norm(x)) + identity``, ``[T*B, C, H, W]``, of a neuron without a past.

    Args:
        x: ``[T*B, C, H, W]``, T outermost, or ``[T, B, C, H, W]``. An expanded ``[B, C, H, W]`` is
            read once, not T times. ``x`` is contiguous or channels last; the result has the same
            layout.
        steps: Number of time steps T.
        dynamics: Dynamics of the neuron.
        norm: BatchNorm that :func:`.batchnorm.fits`. In train mode it counts the batch.
        identity: Shortcut of a block, of the shape of the result.
        compiled: Whether ``torch.compile`` compiles the pass (default). If False, the pass runs
            step by step, for reference.
        owned: Whether ``x`` may be overwritten if no gradient is needed, since new memory costs
            more than the arithmetic. Default: False.
        before: Whether to return ``spikes(norm(x) + identity)`` instead; ``x`` must then not be
            expanded. Default: False.
        step: Step of a ``NILIFNode``, ``[C]`` or ``[]``.
    """
    x, stored_steps = unrepeated(x, steps)
    x = laid_out_as(x, x)
    identity = None if identity is None else laid_out_as(identity, x)
    statistics, weight, bias = None, None, None
    if norm is not None:
        statistics = batchnorm.take_statistics(norm, x)
        weight, bias = norm.weight, norm.bias
    by_channel = norm is not None or (step is not None and step.dim() == 1)
    options = _Pass(dynamics, steps, stored_steps, by_channel, compiled, before)
    inputs = x, weight, bias, identity, step
    if torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in inputs):
        return _Fire.apply(*inputs, statistics, options)
    return _forward(x, _affine(weight, bias, step, statistics), identity, options, owned)


__all__ = ["fire"]
