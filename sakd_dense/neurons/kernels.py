"""Arithmetic of the fused pass (:mod:`.fused`), for ``torch.compile``.

Y, X, O, I, S and s are those of :mod:`.fused`. Tensors are in the order of memory
(:func:`.sequences.grid`): ``[T, R, C, M]``, and Y is ``[1, R, C, M]`` if it is the same at every t.

Example:
    >>> import torch
    >>> from sakd_dense.neurons import build_node
    >>> from sakd_dense.neurons.dynamics import Dynamics
    >>> from sakd_dense.neurons.kernels import Affine, gradient, outputs
    >>> dynamics = Dynamics.of(build_node("IFNode", time_steps=2))
    >>> y, affine = torch.full((2, 1, 1, 1), 0.6), Affine(None, None, None)
    >>> outputs(dynamics, y, affine, None, None, steps=2, dtype=y.dtype).flatten()
    tensor([0., 1.])
    >>> tuple(gradient(dynamics, torch.ones_like(y), y, affine, None).shape)
    (2, 1, 1, 1)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .dynamics import Dynamics, Steps, each_step, join


class Affine(NamedTuple):
    """Scale, shift and step that are applied to Y before the neuron, each ``[C, 1]`` or None."""

    scale: Tensor | None
    shift: Tensor | None
    step: Tensor | None


def _normed(currents: Steps, scale: Tensor, shift: Tensor) -> list[Tensor]:
    # PyTorch's BatchNorm rounds once, after multiplication and addition, to the input's dtype.
    if torch.compiler.is_compiling():
        # One instruction; converting to double and back took two thirds of the kernel's time.
        from torch._inductor.inductor_prims import fma

        normed = [fma(y.float(), scale.expand_as(y), shift.expand_as(y)) for y in currents]
    else:
        normed = [y.double() * scale.double() + shift.double() for y in currents]
    return [x.to(y.dtype).float() for x, y in zip(normed, currents, strict=True)]


def _charge(currents: Steps, affine: Affine, before: Steps | None) -> list[Tensor]:
    """Returns the input of the neuron, in units of its step."""
    if affine.scale is None or affine.shift is None:
        charge = [y.float() for y in currents]
    else:
        charge = _normed(currents, affine.scale, affine.shift)
    if before is not None:
        charge = [x + i.float() for x, i in zip(charge, before, strict=True)]
    return charge if affine.step is None else [x / affine.step for x in charge]


def _each_output(
    dynamics: Dynamics,
    currents: Steps,
    affine: Affine,
    before: Steps | None,
    behind: Steps | None,
) -> list[Tensor]:
    """Returns O for Y at every t, ``[R, C, M]``, in float32."""
    spikes, _ = dynamics.potentials(_charge(currents, affine, before))
    if affine.step is not None:
        spikes = [s * affine.step for s in spikes]
    if behind is not None:
        spikes = [s + i.float() for s, i in zip(spikes, behind, strict=True)]
    return spikes


def outputs(
    dynamics: Dynamics,
    y: Tensor,
    affine: Affine,
    before: Tensor | None,
    behind: Tensor | None,
    steps: int,
    dtype: torch.dtype,
) -> Tensor:
    """Returns O in new memory, ``[T, R, C, M]``.

    Args:
        dynamics: Dynamics of the neuron.
        y: Y.
        affine: What is applied to Y before the neuron.
        before: Shortcut that is summed before the neuron, or None.
        behind: Shortcut that is added to the spikes, or None.
        steps: T.
        dtype: Type of O.
    """
    sums = (None if i is None else list(i.unbind(0)) for i in (before, behind))
    return join(_each_output(dynamics, each_step(y, steps), affine, *sums), dtype)


def overwrite(
    dynamics: Dynamics,
    currents: Steps,
    affine: Affine,
    before: Steps | None,
    behind: Steps | None,
) -> None:
    """Writes O over Y, T tensors ``[R, C, M]``."""
    written = _each_output(dynamics, currents, affine, before, behind)
    for y, o in zip(currents, written, strict=True):
        y.copy_(o)


def _recomputed(
    dynamics: Dynamics, grad: Tensor, y: Tensor, affine: Affine, before: Tensor | None
) -> tuple[Steps, Steps, Steps, Steps]:
    """Returns the gradients with respect to O and X, the spikes and X / s, at every t."""
    steps = grad.shape[0]
    sums = None if before is None else list(before.unbind(0))
    charge = _charge(each_step(y, steps), affine, sums)
    spikes, above = dynamics.potentials(charge)
    grads = [g.float() for g in grad.unbind(0)]
    return grads, dynamics.gradients(grads, above), spikes, charge


def gradient(
    dynamics: Dynamics, grad: Tensor, y: Tensor, affine: Affine, before: Tensor | None
) -> Tensor:
    """Returns the gradient with respect to X, of the shape of that of O, ``[T, R, C, M]``."""
    _, by_current, _, _ = _recomputed(dynamics, grad, y, affine, before)
    return join(by_current, y.dtype)


def summed_gradient(
    dynamics: Dynamics, grad: Tensor, y: Tensor, affine: Affine, before: Tensor | None
) -> Tensor:
    """Returns the gradient with respect to X, ``[1, R, C, M]``, for a Y repeated in time."""
    return gradient(dynamics, grad, y, affine, before).sum(0, keepdim=True)


def gradient_and_step(
    dynamics: Dynamics, grad: Tensor, y: Tensor, affine: Affine, before: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns the result of :func:`gradient`, and the gradient with respect to s, ``[C]``."""
    parts = zip(*_recomputed(dynamics, grad, y, affine, before), strict=True)
    by_current, by_step = [], []
    for by_output, by_x, spikes, charge in parts:
        by_current.append(by_x)
        by_step.append(by_output * spikes - by_x * charge)
    return join(by_current, y.dtype), sum(by_step).sum((0, 2))


__all__ = [
    "Affine",
    "gradient",
    "gradient_and_step",
    "outputs",
    "overwrite",
    "summed_gradient",
]
