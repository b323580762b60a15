"""Spiking twins of upstream's ResNets, named ``SEW`` or ``Spiking`` plus the upstream type.

SEW-ResNet (Fang et al., "Deep Residual Learning in Spiking Neural Networks", NeurIPS 2021)
connects the shortcut after a block's last neuron. Spiking-ResNet, the baseline of that paper,
connects it before.
"""

from typing import Any

from mmengine.registry import MODELS
from torch import nn

from ..runtime.errors import UserError
from .blocks import CONNECTS
from .resnet import ResidualBackbone


class V1c(ResidualBackbone):
    """ResNet with a stem of three 3x3 convolutions (mmseg's ``ResNetV1c``)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"deep_stem": True, "avg_down": False, **kwargs})


class V1d(ResidualBackbone):
    """ResNet V1c with average pooling in the downsampling branch (``ResNetV1d``)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"deep_stem": True, "avg_down": True, **kwargs})


class ResNeXt(ResidualBackbone):
    """ResNet of depth 50, 101 or 152 with grouped convolutions (``groups``, ``base_width``)."""

    def __init__(self, groups: int = 1, base_width: int = 4, **kwargs: Any) -> None:
        super().__init__(groups=groups, base_width=base_width, **kwargs)


class Cifar(ResidualBackbone):
    """ResNet with a 3x3 stem of stride 1 and no max-pooling (mmpretrain's ``ResNet_CIFAR``)."""

    def __init__(self, depth: int, deep_stem: bool = False, **kwargs: Any) -> None:
        if deep_stem:
            raise UserError(
                "deep_stem=True: a ResNet for CIFAR has one 3x3 convolution as its stem; "
                "use the type without _CIFAR"
            )
        super().__init__(depth, **kwargs)

    def _make_stem(self, in_channels: int, channels: int) -> None:
        super()._make_stem(in_channels, channels)
        self.conv1 = self._conv(in_channels, channels, 3, 1)
        self.maxpool = nn.Identity()


@MODELS.register_module()
class SEWResNet(ResidualBackbone):
    """SEW-ResNet, with ``connect='ADD'`` (default), ``'AND'`` or ``'IAND'``.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet
        >>> backbone = SEWResNet(depth=18, base_channels=8, stem_channels=8, time_steps=2)
        >>> [tuple(rates.shape) for rates in backbone(torch.rand(1, 3, 64, 64))]
        [(1, 8, 16, 16), (1, 16, 8, 8), (1, 32, 4, 4), (1, 64, 2, 2)]
    """

    connects = CONNECTS


@MODELS.register_module()
class SEWResNetV1c(V1c, SEWResNet):
    """SEW-ResNet with the stem of :class:`V1c`.

    Example:
        >>> from sakd_dense.backbones import SEWResNetV1c
        >>> SEWResNetV1c(depth=18, base_channels=8, stem_channels=8).time_steps
        4
    """


@MODELS.register_module()
class SEWResNetV1d(V1d, SEWResNet):
    """SEW-ResNet with the stem and shortcuts of :class:`V1d`.

    Example:
        >>> from sakd_dense.backbones import SEWResNetV1d
        >>> SEWResNetV1d(depth=18, base_channels=8, stem_channels=8).layer2[0].downsample[0]
        AvgPool2d(kernel_size=2, stride=2, padding=0)
    """


@MODELS.register_module()
class SEWResNeXt(ResNeXt, SEWResNet):
    """SEW-ResNeXt.

    Example:
        >>> from sakd_dense.backbones import SEWResNeXt
        >>> SEWResNeXt(depth=50, groups=32, base_width=4, base_channels=64).layer1[0].conv2.groups
        32
    """


@MODELS.register_module()
class SEWResNet_CIFAR(Cifar, SEWResNet):  # noqa: N801  (upstream's name)
    """SEW-ResNet with the stem of :class:`Cifar`.

    Example:
        >>> import torch
        >>> from sakd_dense.backbones import SEWResNet_CIFAR
        >>> backbone = SEWResNet_CIFAR(depth=18, base_channels=8, stem_channels=8)
        >>> tuple(backbone(torch.rand(1, 3, 32, 32))[-1].shape)
        (1, 64, 4, 4)
    """


@MODELS.register_module()
class SpikingResNet(ResidualBackbone):
    """Spiking-ResNet, whose blocks sum both branches before their last neuron.

    The output of a block is therefore 0 or 1 for binary neurons, and at most D spikes for neurons
    that fire integers.

    Example:
        >>> import torch
        >>> from sakd_dense import SpikingResNet
        >>> neuron = dict(type="NILIFNode", D=4)  # up to four spikes in one time step
        >>> narrow = dict(base_channels=8, stem_channels=8)
        >>> backbone = SpikingResNet(18, time_steps=1, neuron=neuron, **narrow)
        >>> len(backbone(torch.rand(1, 3, 64, 64)))
        4
    """

    connects = ("BEFORE",)


@MODELS.register_module()
class SpikingResNetV1c(V1c, SpikingResNet):
    """Spiking-ResNet with the stem of :class:`V1c`.

    Example:
        >>> from mmengine.registry import MODELS
        >>> narrow = dict(base_channels=8, stem_channels=8)
        >>> MODELS.build(dict(type="SpikingResNetV1c", depth=18, **narrow)).deep_stem
        True
    """


@MODELS.register_module()
class SpikingResNetV1d(V1d, SpikingResNet):
    """Spiking-ResNet with the stem and shortcuts of :class:`V1d`.

    Example:
        >>> from sakd_dense.backbones import SpikingResNetV1d
        >>> SpikingResNetV1d(depth=18, base_channels=8, stem_channels=8).layer2[0].downsample[0]
        AvgPool2d(kernel_size=2, stride=2, padding=0)
    """


@MODELS.register_module()
class SpikingResNeXt(ResNeXt, SpikingResNet):
    """Spiking-ResNeXt.

    Example:
        >>> from sakd_dense.backbones import SpikingResNeXt
        >>> SpikingResNeXt(depth=50, groups=32, base_width=4).layer1[0].conv2.groups
        32
    """


@MODELS.register_module()
class SpikingResNet_CIFAR(Cifar, SpikingResNet):  # noqa: N801  (upstream's name)
    """Spiking-ResNet with the stem of :class:`Cifar`.

    Example:
        >>> import torch
        >>> from sakd_dense.backbones import SpikingResNet_CIFAR
        >>> backbone = SpikingResNet_CIFAR(depth=18, base_channels=8, stem_channels=8)
        >>> tuple(backbone(torch.rand(1, 3, 32, 32))[-1].shape)
        (1, 64, 4, 4)
    """


__all__ = [
    "SEWResNet",
    "SEWResNetV1c",
    "SEWResNetV1d",
    "SEWResNeXt",
    "SEWResNet_CIFAR",
    "SpikingResNet",
    "SpikingResNetV1c",
    "SpikingResNetV1d",
    "SpikingResNeXt",
    "SpikingResNet_CIFAR",
]
