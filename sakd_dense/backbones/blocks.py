r"""Residual blocks (Fang et al., "Deep Residual Learning in Spiking Neural Networks", 2021).

SEW-ResNet (eq. 9) connects *after* the last neuron, ``g(SN(F(x)), x)``; Spiking-ResNet
*before* it.

====== ==========================
ADD    SN(F(x)) + identity
AND    SN(F(x)) * identity
IAND   (1 - SN(F(x))) * identity
BEFORE SN(F(x) + identity)
====== ==========================

Module names of convolutions, norms and ``downsample`` are torchvision's and mmdet's; neurons are
added beside them (``sn1``, ``sn2``, ``sn3``, ``downsample_sn``) and hold no parameters unless the
neuron itself is learnable. Plugins (upstream's ``after_conv1`` ...) follow the neuron behind that
convolution, and precede the connection, as does stochastic depth (mmpretrain's
``drop_path_rate``).
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmcv.cnn import build_conv_layer, build_norm_layer, build_plugin_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..neurons.batchnorm import is_observed
from ..neurons.clock import Clock
from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError
from .memory_format import give_contiguous
from .saved_spikes import SavedInput, checkpointed

#: After the last neuron.
CONNECTS = ("ADD", "AND", "IAND")


def connect(out: Tensor, identity: Tensor, kind: str) -> Tensor:
    """The SEW function g (same shapes in and out)."""
    if kind == "ADD":
        return out + identity
    return out * identity if kind == "AND" else identity * (1.0 - out)


class ResidualBlock(BaseModule):
    """Base of the basic and the bottleneck block: connection, checkpointing, norm names."""

    expansion: int
    last_norm: str
    last_neuron: str

    @classmethod
    def identity_init(cls, connect: str) -> dict[str, Any]:
        """The init_cfg by which a block starts as the identity (``zero_init_residual``).

        The last neurons are silent (ADD, IAND), or, for AND, fire at every step (Fang et al.
        2021, section 3.3).
        """
        bias = 1 if connect == "AND" else 0
        return dict(type="Constant", val=0, bias=bias, override=dict(name=cls.last_norm))

    def __init__(
        self,
        connect: str,
        clock: Clock,
        channels: int,
        downsample: nn.Module | None,
        neuron: dict[str, Any] | str,
        with_cp: bool,
        compress_spikes: bool,
        drop_path_rate: float = 0.0,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self.connect = connect
        self.clock = clock
        self.with_cp = with_cp
        self.compress_spikes = compress_spikes
        self.plugins: dict[str, list[str]] = {}
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else None
        self.downsample = downsample
        spikes = downsample is not None and connect != "BEFORE"
        self.downsample_sn = SpikingNeuron(neuron, clock, channels) if spikes else None

    def _add_norm(self, norm_cfg: dict[str, Any], channels: int, index: int) -> None:
        name, norm = build_norm_layer(norm_cfg, channels, postfix=index)
        setattr(self, f"norm{index}_name", name)
        self.add_module(name, norm)

    def _add_plugins(self, plugins: Sequence[dict[str, Any]], conv: str, channels: int) -> None:
        for plugin in plugins:
            if plugin["position"] == f"after_{conv}":
                cfg = dict(plugin["cfg"])
                postfix = cfg.pop("postfix", "")
                name, layer = build_plugin_layer(cfg, postfix, in_channels=channels)
                if hasattr(self, name):
                    raise UserError(
                        f"plugins: two plugins of a block are named {name!r}; give one of them a "
                        "postfix"
                    )
                self.add_module(name, give_contiguous(layer))
                self.plugins.setdefault(conv, []).append(name)

    def _plug(self, conv: str, x: Tensor) -> Tensor:
        for name in self.plugins.get(conv, ()):
            x = getattr(self, name)(x)
        return x

    def _drop(self, branch: Tensor) -> Tensor:
        if self.drop_path is None or not self.training:
            return branch
        # An image keeps or loses the branch at every t alike.
        images = branch.unflatten(0, (self.clock.time_steps, -1)).transpose(0, 1)
        return self.drop_path(images).transpose(0, 1).flatten(0, 1)

    @property
    def norm1(self) -> nn.Module:
        return getattr(self, self.norm1_name)

    @property
    def norm2(self) -> nn.Module:
        return getattr(self, self.norm2_name)

    @property
    def norm3(self) -> nn.Module:
        return getattr(self, self.norm3_name)

    def saved(self, spikes: Tensor) -> SavedInput:
        """``spikes`` for a convolution, which saves them for backward as the block does."""
        # A checkpointed block saves nothing but its own input.
        return SavedInput(spikes, self.compress_spikes and not self.with_cp)

    @abstractmethod
    def current(self, x: SavedInput) -> Tensor:
        """F(x), what the residual branch gives its last norm, ``[T*B, C, H, W]``."""

    def _run(self, get_input: Callable[[], Tensor], time_steps: int, compiled: bool) -> Tensor:
        # Set here too: at recomputation the clock may already show another forward.
        self.clock.time_steps, self.clock.compiled = time_steps, compiled
        fire, norm = getattr(self, self.last_neuron), getattr(self, self.last_norm)
        x = self.saved(get_input())
        current, identity = self.current(x), self._identity(x)
        last = self.last_norm.replace("norm", "conv")
        between = last in self.plugins or (self.drop_path is not None and self.training)
        if self.connect == "BEFORE":
            if between:
                return fire(self._drop(self._plug(last, norm(current))) + identity)
            return fire(current, norm, identity, before=True)
        # Hooks behind the neuron expect spikes, not the sum.
        if self.connect == "ADD" and not between and not is_observed(fire):
            return fire(current, norm, identity)
        branch = self._drop(self._plug(last, fire(current, norm)))
        return connect(branch, identity, self.connect)

    def _identity(self, x: SavedInput) -> Tensor:
        if self.downsample is None:
            return x.x
        first, *rest, norm = self.downsample
        out = x.into(first)
        for module in rest:
            out = module(out)
        return norm(out) if self.downsample_sn is None else self.downsample_sn(out, norm)

    def forward(self, x: Tensor) -> Tensor:
        now = self.clock.time_steps, self.clock.compiled
        if self.with_cp and torch.is_grad_enabled():
            return checkpointed(self._run, x, *now, of=self, compressed=self.compress_spikes)
        return self._run(lambda: x, *now)


class BasicBlock(ResidualBlock):
    """3x3, 3x3: depths 18 and 34."""

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
        # style ... plugins are a bottleneck's: here is nothing that they could apply to.
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
    """1x1, 3x3, 1x1: depths 50, 101 and 152, and ResNeXt (``groups``, ``base_width``).

    Args:
        expansion: channels out of the block over those within (2: mmpretrain's wide ResNets).
        dcn: the 3x3 convolution is this deformable one (``dict(type='DCNv2', ...)``).
        plugins: ``dict(cfg=dict(type=...), position='after_conv2')`` each.
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


__all__ = ["CONNECTS", "BasicBlock", "Bottleneck", "ResidualBlock", "connect"]
