r"""BatchNorm, neuron and shortcut in one pass over time, compiled or step by step.

.. math::
    X_t = a\,Y_t + b, \qquad a = \gamma / \sqrt{\sigma^2 + \epsilon}, \quad b = \beta - a\mu

*Y* is the output of the convolution, and *X* the input of the neuron (*Y* itself without a
BatchNorm), from which :mod:`.spec` computes the output. X and the potential are never written to
memory. Backward recomputes both from Y (and from the shortcut, if it is summed before the neuron),
which is all that is kept. The gradient with respect to X does not contain the value of a spike,
which multiplies behind the neuron and divides before it.

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
from .kernels import Affine, gradient, outputs, overwrite, summed_gradient
from .sequences import as_separate_steps, from_grid, grid, laid_out_as, unrepeated
from .spec import BEFORE, NeuronSpec


@dataclass(frozen=True)
class _Pass:
    """Options of a pass: all that it depends on except tensors.

    Args:
        spec: specification of the layer.
        steps: T of the output.
        stored_steps: T of the input; 1 if the input is the same at every t.
        by_channel: whether scale, shift or value of a spike differ between channels.
        compiled: whether ``torch.compile`` compiles the pass.
    """

    spec: NeuronSpec
    steps: int
    stored_steps: int
    by_channel: bool
    compiled: bool

    def inputs(self, x: Tensor) -> Tensor:
        return grid(x, self.stored_steps, self.by_channel)

    def outputs(self, x: Tensor | None) -> Tensor | None:
        return None if x is None else grid(x, self.steps, self.by_channel)


@torch.no_grad()
def _affine(
    weight: Tensor | None, bias: Tensor | None, value: Tensor | None, statistics: Statistics | None
) -> Affine:
    scale = shift = None
    if statistics is not None:
        scale, shift = batchnorm.as_affine(statistics, weight, bias)
    return Affine(*(v if v is None else v.detach().view(-1, 1) for v in (scale, shift, value)))


def _forward(
    y: Tensor, affine: Affine, identity: Tensor | None, options: _Pass, owned: bool
) -> Tensor:
    steps, spec, compiled = options.steps, options.spec, options.compiled
    stored, shortcut = options.inputs(y), options.outputs(identity)
    dtype = y.dtype if identity is None else torch.promote_types(y.dtype, identity.dtype)
    if owned and options.stored_steps == steps and y.dtype == dtype:
        separate = None if shortcut is None else as_separate_steps(shortcut)
        run(overwrite, spec, compiled, as_separate_steps(stored), affine, separate)
        return y
    return from_grid(run(outputs, spec, compiled, stored, affine, shortcut, steps, dtype), y)


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        identity: Tensor | None,
        affine: Affine,
        statistics: Statistics | None,
        options: _Pass,
    ) -> Tensor:
        before = identity if options.spec.shortcut == BEFORE else None
        ctx.save_for_backward(y, weight, before, *affine)
        ctx.statistics, ctx.options = statistics, options
        return _forward(y, affine, identity, options, owned=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, weight, before, *affine = ctx.saved_tensors
        needs_y, needs_weight, needs_bias, needs_identity, *_ = ctx.needs_input_grad
        options: _Pass = ctx.options
        found = run(
            gradient if options.stored_steps == options.steps else summed_gradient,
            options.spec,
            options.compiled,
            options.outputs(laid_out_as(grad, y)),
            options.inputs(y),
            Affine(*affine),
            options.outputs(before),
        )
        by_x = found.as_strided(y.shape, y.stride())
        by_y, by_weight, by_bias = by_x, None, None
        if ctx.statistics is not None:
            needed = [needs_y, needs_weight, weight is not None and needs_bias]
            by_y, by_weight, by_bias = batchnorm.gradients(by_x, y, weight, ctx.statistics, needed)
        by_identity = None
        if needs_identity:
            by_identity = by_x if options.spec.shortcut == BEFORE else grad
        return by_y, by_weight, by_bias, by_identity, None, None, None


def fire(
    x: Tensor,
    steps: int,
    spec: NeuronSpec,
    norm: nn.BatchNorm2d | None = None,
    identity: Tensor | None = None,
    value: Tensor | None = None,
    compiled: bool = True,
    owned: bool = False,
) -> Tensor:
    """Returns the output of a layer of neurons without a past, ``[T*B, C, H, W]``.

    Args:
        x: ``[T*B, C, H, W]``, T outermost, or ``[T, B, C, H, W]``. An expanded ``[B, C, H, W]`` is
            read once, not T times, unless a shortcut is summed before the neuron. ``x`` is
            contiguous or channels last; the result has the same layout.
        steps: number of time steps T.
        spec: specification of the layer.
        norm: BatchNorm that :func:`.batchnorm.fits`. In train mode it counts the batch.
        identity: shortcut of a block, of the shape of the result.
        value: value of a spike of a ``NILIFNode``, ``[C]`` or ``[]``.
        compiled: whether ``torch.compile`` compiles the pass (default). If False, the pass runs
            step by step, for reference.
        owned: whether ``x`` may be overwritten if no gradient is needed, since new memory costs
            more than the arithmetic. Default: False.
    """
    if x.dim() == 5 and identity is not None and spec.shortcut == BEFORE:
        x = x.flatten(0, 1)  # the shortcut differs between time steps
    x, stored_steps = unrepeated(x, steps)
    x = laid_out_as(x, x)
    identity = None if identity is None else laid_out_as(identity, x)
    statistics, weight, bias = None, None, None
    if norm is not None:
        statistics = batchnorm.take_statistics(norm, x)
        weight, bias = norm.weight, norm.bias
    by_channel = norm is not None or (value is not None and value.dim() == 1)
    options = _Pass(spec, steps, stored_steps, by_channel, compiled)
    affine = _affine(weight, bias, value, statistics)
    inputs = x, weight, bias, identity
    if torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in inputs):
        return _Fire.apply(*inputs, affine, statistics, options)
    return _forward(x, affine, identity, options, owned)


__all__ = ["fire"]
