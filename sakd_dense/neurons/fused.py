"""IF and LIF neurons over all T in one pass (:mod:`.dynamics`), compiled or step by step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .compiling import run
from .dynamics import Dynamics, Steps


def unrepeated(x: Tensor, steps: int) -> tuple[Tensor, int]:
    """``[T*B, ...]`` or ``[T, B, ...]`` -> ``[t*B, ...]`` and t: 1 where all steps are the same."""
    if x.dim() == 4:
        return x, steps
    return (x[0], 1) if x.stride(0) == 0 else (x.flatten(0, 1), steps)


def channels_last(x: Tensor) -> bool:
    """Whether ``x`` lies so in memory, and could not be called contiguous as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def is_observed(module: nn.Module) -> bool:
    """Whether a forward hook waits for the output of ``module``, which then must run by itself.

    A fused pass computes that output together with what follows and never calls the module.
    """
    return bool(module._forward_hooks)


def as_separate_steps(x: Tensor, steps: int) -> Steps:
    """``[T, ...]``, or ``[1, ...]`` for the same at every t -> T tensors that a kernel may write.

    They lie where ``x`` lies, but are no views of it: a compiled kernel copies views of one storage
    before it writes to them.
    """
    stored = [torch.from_dlpack(step) for step in x.detach()]
    return stored * (steps // len(stored))


def output_buffer(x: Tensor, steps: int, identity: Tensor | None, owned: bool) -> Tensor:
    """Memory for spikes ``[T, ...]``: that of ``x`` if it is ``owned`` and fits, or new memory."""
    dtype = x.dtype if identity is None else torch.promote_types(x.dtype, identity.dtype)
    if owned and x.shape[0] == steps and x.dtype == dtype:
        return x
    return x.new_empty((steps, *x.shape[1:]), dtype=dtype)


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int, dynamics: Dynamics, compiled: bool) -> Tensor:
        spikes, above = run(Dynamics.forward, dynamics, compiled, x, steps)
        ctx.save_for_backward(above)
        kernel = Dynamics.backward if x.shape[0] == steps else Dynamics.summed_backward
        ctx.backward_kernel = kernel, dynamics, compiled
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (above,) = ctx.saved_tensors
        return run(*ctx.backward_kernel, grad, above), None, None, None


def fire(
    x: Tensor,
    steps: int,
    dynamics: Dynamics,
    identity: Tensor | None = None,
    compiled: bool = True,
    owned: bool = False,
) -> Tensor:
    """Spikes ``[T*B, C, H, W]`` of a neuron that starts at rest, plus ``identity``.

    Args:
        x: ``[T*B, C, H, W]``, T outermost, or ``[T, B, C, H, W]``; if that is an expanded
            ``[B, C, H, W]``, it is read once, not T times. Contiguous or channels last; the spikes
            are laid out alike.
        steps: T.
        dynamics: of the neuron.
        identity: the shortcut of a SEW block, of the result's shape.
        compiled: by ``torch.compile``; or else step by step, for reference.
        owned: ``x`` may be overwritten, where no gradient is asked for: fresh memory costs more
            than the arithmetic.
    """
    images, stored_steps = unrepeated(x, steps)
    last = channels_last(images)
    if last:
        images = images.permute(0, 2, 3, 1)
    flat = images.contiguous().view(stored_steps, -1)
    if torch.is_grad_enabled() and (flat.requires_grad or _learns(identity)):
        spikes, rest = _Fire.apply(flat, steps, dynamics, compiled), identity
    else:
        grid, rest = None, None
        if identity is not None:
            grid = (identity.permute(0, 2, 3, 1) if last else identity).contiguous().view(steps, -1)
        spikes = output_buffer(flat, steps, grid, owned)
        shortcut = None if grid is None else as_separate_steps(grid, steps)
        currents = as_separate_steps(flat, steps)
        into = currents if spikes is flat else as_separate_steps(spikes, steps)
        run(Dynamics.write, dynamics, compiled, into, currents, shortcut)
    spikes = spikes.view(-1, *images.shape[1:])
    spikes = spikes.permute(0, 3, 1, 2) if last else spikes
    return spikes if rest is None else spikes + rest


def _learns(x: Tensor | None) -> bool:
    return x is not None and x.requires_grad


__all__ = [
    "as_separate_steps",
    "channels_last",
    "fire",
    "is_observed",
    "output_buffer",
    "unrepeated",
]
