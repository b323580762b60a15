r"""Folding of BatchNorm into the convolution before it, for inference.

.. math::
    W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \qquad
    b' = \beta - \frac{\gamma \mu}{\sqrt{\sigma^2 + \epsilon}}
"""

from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..neurons.batchnorm import BatchNorm
from .memory_format import PLAIN, guard_operators, leave_contiguous, take_channels_last
from .packing import PackedConv2d


def fold_batchnorm(module: nn.Module) -> None:
    """Folds every BatchNorm into the plain convolution that it follows, in place.

    An Identity replaces the BatchNorm, and a :class:`PackedConv2d` replaces the convolution.

    A BatchNorm follows a convolution if the convolution is registered as the child right before it.
    Other norms, and BatchNorms behind any other layer, stay unchanged.
    """
    before: str | None = None
    for name, child in list(module.named_children()):
        if (
            isinstance(child, BatchNorm)
            and before is not None
            and child.track_running_stats
            # A BatchNorm of CGNet follows two concatenated convolutions.
            and child.num_features == getattr(module, before).out_channels
        ):
            conv = fuse_conv_bn_eval(getattr(module, before).eval(), child.eval())
            setattr(module, before, PackedConv2d.of(conv))
            setattr(module, name, nn.Identity().eval())
            before = None
        elif type(child) in PLAIN:
            before = name
        else:
            before = None
            if not (isinstance(child, ConvModule) and _norm_is_elsewhere(child.order)):
                fold_batchnorm(child)


def _norm_is_elsewhere(order: tuple[str, ...]) -> bool:
    """Returns whether a ``ConvModule`` calls its norm elsewhere than right after its convolution.

    DDRNet and PIDNet call it before the convolution.
    """
    return order.index("norm") != order.index("conv") + 1


def optimize_for_inference(backbone: nn.Module, channels_last: bool = True) -> nn.Module:
    """Speeds up an ANN backbone for inference, in place, and returns it.

    The backbone cannot be trained afterwards. Its features stay the same up to rounding.

    :func:`fold_batchnorm` folds BatchNorm. On CPUs, images are channels last inside the backbone
    and its features are contiguous.

    Args:
        backbone: the ANN backbone.
        channels_last: whether it runs on images that are channels last (default). VGG with a
            classifier does not: it reads them as vectors, with ``.view``.
    """
    backbone.eval()  # mmdet's eval() returns None
    fold_batchnorm(backbone)
    guard_operators(backbone)
    return leave_contiguous(take_channels_last(backbone) if channels_last else backbone)


__all__ = ["fold_batchnorm", "optimize_for_inference"]
