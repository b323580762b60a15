"""Basic and bottleneck blocks: two 3x3 convolutions, or 1x1, 3x3 and 1x1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mmcv.cnn import build_conv_layer
from torch import Tensor

from ..neurons.forward_state import ForwardState
from .blocks import ResidualBlock

if TYPE_CHECKING:
    from .arguments import Architecture


class BasicBlock(ResidualBlock):
    """Residual block of two 3x3 convolutions, for depths 18 and 34.

    The arguments are those of :class:`~.blocks.ResidualBlock`, and:

    Args:
        dilation: dilation of the first convolution. Default: 1.
    """

    expansion = 1
    convolutions = 2

    def __init__(
        self,
        architecture: Architecture,
        stage: int,
        inplanes: int,
        state: ForwardState,
        *,
        stride: int = 1,
        dilation: int = 1,
        **shared: Any,
    ) -> None:
        planes = architecture.planes(stage)
        super().__init__(architecture, planes, state, **shared)
        conv_cfg = architecture.conv_cfg
        geometry = dict(stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.conv1 = build_conv_layer(conv_cfg, inplanes, planes, 3, **geometry)
        self._add_neurons(planes, 1)
        self.conv2 = build_conv_layer(conv_cfg, planes, planes, 3, padding=1, bias=False)
        self._add_neurons(planes, 2)

    def current(self, x: Tensor) -> Tensor:
        return self.conv2(self.sn1(self.conv1(x), self.norm1))


class Bottleneck(ResidualBlock):
    """Residual block of 1x1, 3x3 and 1x1 convolutions, for depths 50, 101 and 152.

    ResNeXt sets ``groups`` and ``base_width``. A deformable convolution (``dcn``) replaces the 3x3
    convolution. The arguments are those of :class:`BasicBlock`.
    """

    expansion = 4
    convolutions = 3

    def __init__(
        self,
        architecture: Architecture,
        stage: int,
        inplanes: int,
        state: ForwardState,
        *,
        stride: int = 1,
        dilation: int = 1,
        **shared: Any,
    ) -> None:
        planes, out = architecture.planes(stage), architecture.width(stage)
        super().__init__(architecture, out, state, **shared)
        conv_cfg, groups = architecture.conv_cfg, architecture.groups
        deformable = architecture.dcn_of(stage)
        if deformable.pop("fallback_on_stride", False):
            deformable = {}
        width = planes
        if groups > 1:
            width = math.floor(planes * (architecture.base_width / architecture.base_channels))
            width *= groups
        strides = (1, stride) if architecture.style == "pytorch" else (stride, 1)
        self.conv1 = build_conv_layer(
            conv_cfg, inplanes, width, kernel_size=1, stride=strides[0], bias=False
        )
        self._add_neurons(width, 1)
        self.conv2 = build_conv_layer(
            deformable or conv_cfg,
            width,
            width,
            kernel_size=3,
            stride=strides[1],
            padding=dilation,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self._add_neurons(width, 2)
        self.conv3 = build_conv_layer(conv_cfg, width, out, kernel_size=1, bias=False)
        self._add_neurons(out, 3)
        plugins = architecture.plugins_of(stage)
        for conv, channels in (("conv1", width), ("conv2", width), ("conv3", out)):
            self._add_plugins(plugins, conv, channels)

    def current(self, x: Tensor) -> Tensor:
        out = self._plug("conv1", self.sn1(self.conv1(x), self.norm1))
        out = self._plug("conv2", self.sn2(self.conv2(out), self.norm2))
        return self.conv3(out)


__all__ = ["BasicBlock", "Bottleneck"]
