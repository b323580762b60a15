"""Channels last within a backbone, contiguous where a module or a head wants it."""

from collections.abc import Iterator
from typing import Any

import torch
from mmcv.cnn import Conv2d
from torch import Tensor, nn

# A subclass may do something with its weights before it uses them (ConvAWS standardises them).
PLAIN = (nn.Conv2d, Conv2d)


def plain_convolutions(module: nn.Module) -> Iterator[nn.Conv2d]:
    """Those in ``module`` that may be channels last; none that mmcv's operators hold.

    Example:
        >>> from torch import nn
        >>> from sakd_dense.backbones.memory_format import plain_convolutions
        >>> len(list(plain_convolutions(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))))
        1
    """
    if type(module) in PLAIN:
        if not _wants_contiguous(module):
            yield module
    elif not _is_operator(module):
        for child in module.children():
            yield from plain_convolutions(child)


def guard_operators(module: nn.Module) -> None:
    """Mmcv's operators in ``module`` get contiguous images, as many at a time as divide them.

    ``DCNv2`` reads any other layout as if it were that, and says nothing. ``DCN`` refuses T*B = 36,
    since it takes 32 at a time. Strided 1x1 convolutions of few channels get contiguous images too.

    Example:
        >>> from torch import nn
        >>> from sakd_dense.backbones.memory_format import guard_operators
        >>> strided = nn.Conv2d(8, 16, 1, stride=2)
        >>> guard_operators(strided)
        >>> len(strided._forward_pre_hooks)
        1
    """
    for part in module.modules():
        if type(part) in PLAIN and _wants_contiguous(part):
            give_contiguous(part)
        elif _is_operator(part):
            give_contiguous(part)
            if hasattr(part, "im2col_step"):
                part.register_forward_pre_hook(_Divided(part.im2col_step))


def _is_operator(module: nn.Module) -> bool:
    return type(module).__module__.startswith("mmcv.ops.")


def _wants_contiguous(conv: nn.Conv2d) -> bool:
    """Whether oneDNN's backward of ``conv`` in channels last may write outside its memory.

    PyTorch 2.12 on an AMD EPYC: with fewer than 16 channels, a strided 1x1 convolution of images of
    64x64 and more ends in "corrupted size vs. prev_size" (LD_PRELOAD=libc_malloc_debug.so.0
    MALLOC_CHECK_=3 finds it); contiguous ones, and those of 16 channels and more, are sound.
    """
    return conv.kernel_size == (1, 1) and max(conv.stride) > 1 and conv.in_channels < 16


def take_channels_last(module: nn.Module) -> nn.Module:
    """On CPUs, images enter ``module`` channels last.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from sakd_dense.backbones.memory_format import take_channels_last
        >>> x = take_channels_last(nn.Identity())(torch.zeros(1, 3, 4, 4))
        >>> x.is_contiguous(memory_format=torch.channels_last)
        True
    """
    module.register_forward_pre_hook(_channels_last)
    return module


def give_contiguous(module: nn.Module) -> nn.Module:
    """Images enter ``module`` contiguous.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from sakd_dense.backbones.memory_format import give_contiguous
        >>> images = torch.zeros(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
        >>> give_contiguous(nn.Identity())(images).is_contiguous()
        True
    """
    module.register_forward_pre_hook(_contiguous)
    return module


def leave_contiguous(module: nn.Module) -> nn.Module:
    """A backbone's features leave it contiguous: heads call ``.view``.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from sakd_dense.backbones.memory_format import leave_contiguous
        >>> features = torch.zeros(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
        >>> leave_contiguous(nn.Identity())(features).is_contiguous()
        True
    """
    module.register_forward_hook(_contiguous_features)
    return module


def laid_out(x: Tensor) -> Tensor:
    """Images ``[B, C, H, W]`` as a backbone computes: channels last on CPUs.

    Example:
        >>> import torch
        >>> from sakd_dense.backbones.memory_format import laid_out
        >>> laid_out(torch.zeros(1, 3, 4, 4)).stride()
        (48, 1, 12, 3)
    """
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def _channels_last(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    x, *rest = args
    return laid_out(x), *rest


def _contiguous(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    x, *rest = args
    return x.contiguous(), *rest


class _Divided:
    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        images = max(args[0].shape[0], 1)
        fit = (n for n in range(min(self.most, images), 0, -1) if images % n == 0)
        module.im2col_step = next(fit)


def _contiguous_features(
    module: nn.Module, args: tuple[Any, ...], features: tuple[Tensor, ...] | Tensor
) -> tuple[Tensor, ...] | Tensor:
    if isinstance(features, Tensor):  # PIDNet's in eval mode
        return features.contiguous()
    return tuple(f.contiguous() for f in features)


__all__ = [
    "PLAIN",
    "give_contiguous",
    "guard_operators",
    "laid_out",
    "leave_contiguous",
    "plain_convolutions",
    "take_channels_last",
]
