"""Memory layout of images: channels last in a backbone, contiguous where a module needs it."""

from collections.abc import Iterator
from typing import Any

import torch
from mmcv.cnn import Conv2d
from torch import Tensor, nn

# Exact types: a subclass may change its weights before it uses them (ConvAWS standardises them).
PLAIN = (nn.Conv2d, Conv2d)


def plain_convolutions(module: nn.Module) -> Iterator[nn.Conv2d]:
    """Yields the convolutions in ``module`` that may be channels last.

    Convolutions inside mmcv's operators are left out.
    """
    if type(module) in PLAIN:
        if not _wants_contiguous(module):
            yield module
    elif not _is_operator(module):
        for child in module.children():
            yield from plain_convolutions(child)


def guard_operators(module: nn.Module) -> None:
    """Gives mmcv's operators in ``module`` contiguous images, in groups that divide the batch.

    ``DCNv2`` reads any other layout as if it were contiguous, without an error. ``DCN`` rejects
    T*B = 36, because it processes 32 images at a time. Strided 1x1 convolutions of few channels get
    contiguous images too.
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
    """Returns whether oneDNN's backward of ``conv`` in channels last may write outside its memory.

    With PyTorch 2.12 on an AMD EPYC, a strided 1x1 convolution of fewer than 16 channels ends in
    "corrupted size vs. prev_size" on images of 64x64 and more (LD_PRELOAD=libc_malloc_debug.so.0
    MALLOC_CHECK_=3 finds it). Contiguous images, and 16 channels and more, cause no error.
    """
    return conv.kernel_size == (1, 1) and max(conv.stride) > 1 and conv.in_channels < 16


def take_channels_last(module: nn.Module) -> nn.Module:
    """Makes the images that enter ``module`` channels last on CPUs, and returns ``module``."""
    module.register_forward_pre_hook(_channels_last)
    return module


def give_contiguous(module: nn.Module) -> nn.Module:
    """Makes the images that enter ``module`` contiguous, and returns ``module``."""
    module.register_forward_pre_hook(_contiguous)
    return module


def leave_contiguous(module: nn.Module) -> nn.Module:
    """Makes the features that leave a backbone contiguous, since heads call ``.view``."""
    module.register_forward_hook(_contiguous_features)
    return module


def laid_out(x: Tensor) -> Tensor:
    """Returns images ``[B, C, H, W]`` in the layout of a backbone: channels last on CPUs."""
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
    if isinstance(features, Tensor):  # from PIDNet in eval mode
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
