r"""BatchNorm folded into the convolution before it, for inference.

.. math::
    W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \qquad
    b' = \beta - \frac{\gamma \mu}{\sqrt{\sigma^2 + \epsilon}}
"""

from typing import Any

import torch
from mmcv.cnn import Conv2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .packing import PackedConv2d

# A subclass may do something with its weights before it uses them (ConvAWS standardises them).
PLAIN = (nn.Conv2d, Conv2d)


def fold_batchnorm(module: nn.Module) -> None:
    """Puts an Identity in the place of every BatchNorm that follows a plain convolution, in place.

    The convolution becomes a :class:`PackedConv2d`.

    "Follows" as registered: the convolution is the child right before it. Other norms, and
    BatchNorms behind anything else, stay as they are.
    """
    before: str | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, _BatchNorm) and before is not None and child.track_running_stats:
            conv = fuse_conv_bn_eval(getattr(module, before).eval(), child.eval())
            setattr(module, before, PackedConv2d.of(conv))
            setattr(module, name, nn.Identity().eval())
            before = None
        elif type(child) in PLAIN:
            before = name
        else:
            before = None
            fold_batchnorm(child)


def quicken(backbone: nn.Module) -> nn.Module:
    """Readies an ANN backbone that will learn no more, in place; its features stay, to rounding.

    BatchNorm is folded, as by :func:`fold_batchnorm`, and on CPUs images are channels last within
    the backbone and contiguous behind it.
    """
    backbone.eval()  # mmdet's gives None
    fold_batchnorm(backbone)
    backbone.register_forward_pre_hook(_channels_last)
    backbone.register_forward_hook(_contiguous)
    return backbone


def _channels_last(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    x, *rest = args
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)
    return x, *rest


def _contiguous(
    module: nn.Module, args: tuple[Any, ...], features: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    return tuple(f.contiguous() for f in features)
