"""Basic and bottleneck blocks: two 3x3 convolutions, or 1x1, 3x3 and 1x1."""

import math
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_conv_layer
from torch import Tensor

from ..neurons.clock import Clock
from ..neurons.layer import SpikingNeuron
from .blocks import ResidualBlock
from .saved_spikes import SavedInput


class BasicBlock(ResidualBlock):
    """Residual block of two 3x3 convolutions, for depths 18 and 34."""

    expansion = 1
    last_norm = "norm2"
    last_neuron = "sn2"

    def __init__(
        self,
        inplanes: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any],
        neuron: dict[str, Any] | str,
        clock: Clock,
        style: str = "pytorch",
        groups: int = 1,
        base_width: int = 4,
        base_channels: int = 64,
        expansion: int = 1,
        dcn: dict[str, Any] | None = None,
        plugins: Sequence[dict[str, Any]] = (),
        **shared: Any,
    ) -> None:
        # style, groups ... plugins configure a bottleneck and have no effect here.
        super().__init__(neuron=neuron, clock=clock, channels=planes, **shared)
        self.conv1 = build_conv_layer(
            conv_cfg,
            inplanes,
            planes,
            3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            bias=False,
        )
        self._add_norm(norm_cfg, planes, 1)
        self.sn1 = SpikingNeuron(neuron, clock, planes)
        self.conv2 = build_conv_layer(conv_cfg, planes, planes, 3, padding=1, bias=False)
        self._add_norm(norm_cfg, planes, 2)
        self.sn2 = SpikingNeuron(neuron, clock, planes)

    def current(self, x: SavedInput) -> Tensor:
        out = self.sn1(x.into(self.conv1), self.norm1)
        return self.saved(out).into(self.conv2)


class Bottleneck(ResidualBlock):
    """Residual block of 1x1, 3x3 and 1x1 convolutions, for depths 50, 101 and 152.

    ResNeXt sets ``groups`` and ``base_width``.

    Args:
        expansion: Ratio of the output channels of the block to its inner channels. Default: 4.
            mmpretrain's wide ResNets have 2.
        dcn: Config of the deformable convolution (``dict(type='DCNv2', ...)``) that replaces the
            3x3 convolution. None (default) keeps the 3x3 convolution.
        plugins: Plugins, each a ``dict(cfg=dict(type=...), position='after_conv2')``.
    """

    expansion = 4
    last_norm = "norm3"
    last_neuron = "sn3"

    def __init__(
        self,
        inplanes: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        style: str = "pytorch",
        groups: int = 1,
        base_width: int = 4,
        base_channels: int = 64,
        expansion: int = 4,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any],
        neuron: dict[str, Any] | str,
        clock: Clock,
        dcn: dict[str, Any] | None = None,
        plugins: Sequence[dict[str, Any]] = (),
        **shared: Any,
    ) -> None:
        out = planes * expansion
        super().__init__(neuron=neuron, clock=clock, channels=out, **shared)
        deformable = dict(dcn or {})
        if deformable.pop("fallback_on_stride", False):
            deformable = {}
        width = planes
        if groups > 1:
            width = math.floor(planes * (base_width / base_channels)) * groups
        strides = (1, stride) if style == "pytorch" else (stride, 1)
        self.conv1 = build_conv_layer(
            conv_cfg, inplanes, width, kernel_size=1, stride=strides[0], bias=False
        )
        self._add_norm(norm_cfg, width, 1)
        self.sn1 = SpikingNeuron(neuron, clock, width)
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
        self._add_norm(norm_cfg, width, 2)
        self.sn2 = SpikingNeuron(neuron, clock, width)
        self.conv3 = build_conv_layer(conv_cfg, width, out, kernel_size=1, bias=False)
        self._add_norm(norm_cfg, out, 3)
        self.sn3 = SpikingNeuron(neuron, clock, out)
        for conv, channels in (("conv1", width), ("conv2", width), ("conv3", out)):
            self._add_plugins(plugins, conv, channels)

    def current(self, x: SavedInput) -> Tensor:
        out = self._plug("conv1", self.sn1(x.into(self.conv1), self.norm1))
        out = self.saved(out).into(self.conv2)
        out = self._plug("conv2", self.sn2(out, self.norm2))
        return self.saved(out).into(self.conv3)


__all__ = ["BasicBlock", "Bottleneck"]
