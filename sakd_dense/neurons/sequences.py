"""Memory layout of sequences, and the views with which kernels read and write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack, to_dlpack

from .dynamics import Steps


def unrepeated(x: Tensor, steps: int) -> tuple[Tensor, int]:
    """Reshapes ``[T*B, ...]`` or ``[T, B, ...]`` to ``[t*B, ...]``, and returns it with t.

    t is 1 if ``x`` is a view that repeats one step, and T otherwise.
    """
    if x.dim() == 4:
        return x, steps
    if len(x) == 1:
        return x.squeeze(0), steps
    return (x[0], 1) if x.stride(0) == 0 else (x.flatten(0, 1), steps)


def channels_last(x: Tensor) -> bool:
    """Returns whether ``x`` is channels last in memory, and not contiguous as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def laid_out_as(x: Tensor, reference: Tensor) -> Tensor:
    """Returns ``x`` in the memory layout of ``reference``: channels last, or else contiguous."""
    return x.contiguous(
        memory_format=torch.channels_last if channels_last(reference) else torch.contiguous_format
    )


class _Aligned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _restrided(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _restrided(grad)


def _restrided(x: Tensor) -> Tensor:
    if not channels_last(x):
        return x
    channels, height, width = x.shape[1:]
    return x.as_strided(x.shape, (x[0].numel(), 1, width * channels, channels))


def aligned(x: Tensor) -> Tensor:
    """Returns ``x`` with strides that identify its layout, also in its gradient and for one image.

    One channels-last image that was a sequence of T = 1 may have the stride of a pixel in the axis
    of images. If either the image or its gradient is contiguous, PyTorch's backward of BatchNorm
    (2.12, CPU) then reads the other in the wrong order, without an error.
    """
    if x.dim() != 4 or len(x) != 1 or not (torch.is_grad_enabled() and x.requires_grad):
        return x
    return _Aligned.apply(x)


def grid(x: Tensor, steps: int, by_channel: bool) -> Tensor:
    """Views ``[T*B, C, H, W]`` in the order of memory.

    The result is ``[T, R, C, M]`` with ``by_channel``, and ``[T, 1, 1, N]`` without.
    """
    last = channels_last(x)
    if not by_channel:
        return (x.permute(0, 2, 3, 1) if last else x).view(steps, 1, 1, -1)
    if last:
        return x.permute(0, 2, 3, 1).view(steps, -1, x.shape[1], 1)
    return x.view(steps, -1, x.shape[1], x.shape[2] * x.shape[3])


def from_grid(out: Tensor, like: Tensor) -> Tensor:
    """Views a :func:`grid` of any T as ``[T*B, C, H, W]``, with C, H, W and layout of ``like``."""
    if channels_last(like):
        return out.view(-1, *like.shape[2:], like.shape[1]).permute(0, 3, 1, 2)
    return out.view(-1, *like.shape[1:])


def as_separate_steps(x: Tensor) -> Steps:
    """Splits ``[T, ...]`` into T writable tensors.

    The tensors share the memory of ``x`` but are not views of it, because a compiled kernel copies
    views of one storage before it writes to them.
    """
    if len(x) == 1:  # one view holds all of the storage; DLPack is slower
        return [x.detach()[0]]
    # With to_dlpack, torch.from_dlpack takes a fifth of the time.
    return [from_dlpack(to_dlpack(step)) for step in x.detach().unbind(0)]


__all__ = [
    "aligned",
    "as_separate_steps",
    "channels_last",
    "from_grid",
    "grid",
    "laid_out_as",
    "unrepeated",
]
