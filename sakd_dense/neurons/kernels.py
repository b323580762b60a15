"""Arithmetic of the fused pass (:mod:`.fused`), for ``torch.compile``.

Y, X, O, I and s are those of :mod:`.fused` and :mod:`.spec`. Tensors are in the order of memory
(:func:`.sequences.grid`): ``[T, R, C, M]``, and Y is ``[1, R, C, M]`` if it is the same at every t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .compiling import fma
from .dynamics import Dynamics, Steps, each_step, join
from .spec import NeuronSpec


class Affine(NamedTuple):
    """Scale and shift of Y before the neuron, and value of a spike, each ``[C, 1]`` or None."""

    scale: Tensor | None
    shift: Tensor | None
    value: Tensor | None


def _normed(currents: Steps, scale: Tensor, shift: Tensor) -> list[Tensor]:
    # PyTorch's BatchNorm rounds once, after multiplication and addition, to the input's dtype.
    if torch.compiler.is_compiling():
        # One instruction; converting to double and back took two thirds of the kernel's time.
        normed = [fma(y.float(), scale.expand_as(y), shift.expand_as(y)) for y in currents]
    else:
        normed = [y.double() * scale.double() + shift.double() for y in currents]
    return [x.to(y.dtype).float() for x, y in zip(normed, currents, strict=True)]


def _dynamics(spec: NeuronSpec) -> Dynamics:
    assert spec.dynamics is not None  # layers without them run SpikingJelly's node
    return spec.dynamics


def _inputs(currents: Steps, affine: Affine) -> Steps:
    """Returns X at every t, in float32."""
    if affine.scale is None or affine.shift is None:
        return [y.float() for y in currents]
    return _normed(currents, affine.scale, affine.shift)


def _each_output(
    spec: NeuronSpec, currents: Steps, affine: Affine, shortcut: Steps | None
) -> Sequence[Tensor]:
    """Returns O for Y at every t, ``[R, C, M]``, in float32."""
    x, dynamics = _inputs(currents, affine), _dynamics(spec)
    return spec.outputs(x, shortcut, affine.value, lambda x: dynamics.potentials(x)[0])


def outputs(
    spec: NeuronSpec,
    y: Tensor,
    affine: Affine,
    shortcut: Tensor | None,
    steps: int,
    dtype: torch.dtype,
) -> Tensor:
    """Returns O in new memory, ``[T, R, C, M]``.

    Args:
        spec: specification of the layer.
        y: Y.
        affine: what is applied to Y before the neuron.
        shortcut: I, or None.
        steps: T.
        dtype: type of O.
    """
    summed = None if shortcut is None else list(shortcut.unbind(0))
    return join(_each_output(spec, each_step(y, steps), affine, summed), dtype)


def overwrite(spec: NeuronSpec, currents: Steps, affine: Affine, shortcut: Steps | None) -> None:
    """Writes O over Y, T tensors ``[R, C, M]``."""
    written = _each_output(spec, currents, affine, shortcut)
    for y, o in zip(currents, written, strict=True):
        y.copy_(o)


def gradient(
    spec: NeuronSpec, grad: Tensor, y: Tensor, affine: Affine, shortcut: Tensor | None
) -> Tensor:
    """Returns the gradient with respect to X, of the shape of that of O, ``[T, R, C, M]``.

    Args:
        spec: specification of the layer.
        grad: gradient with respect to O.
        y: Y.
        affine: what was applied to Y before the neuron.
        shortcut: I, if it was summed before the neuron; None otherwise.
    """
    summed = None if shortcut is None else list(shortcut.unbind(0))
    x, dynamics = _inputs(each_step(y, grad.shape[0]), affine), _dynamics(spec)
    _, above = dynamics.potentials(spec.inputs(x, summed, affine.value))
    return join(dynamics.gradients([g.float() for g in grad.unbind(0)], above), y.dtype)


def summed_gradient(
    spec: NeuronSpec, grad: Tensor, y: Tensor, affine: Affine, shortcut: Tensor | None
) -> Tensor:
    """Returns the gradient with respect to X, ``[1, R, C, M]``, for a Y repeated in time."""
    return gradient(spec, grad, y, affine, shortcut).sum(0, keepdim=True)


__all__ = ["Affine", "gradient", "outputs", "overwrite", "summed_gradient"]
