r"""Residual blocks (Fang et al., "Deep Residual Learning in Spiking Neural Networks", 2021).

SEW-ResNet (eq. 9) connects the shortcut *after* the last neuron, ``g(SN(F(x)), x)``. Spiking-ResNet
connects it *before* the last neuron.

====== ==========================
ADD    SN(F(x)) + identity
AND    SN(F(x)) * identity
IAND   (1 - SN(F(x))) * identity
BEFORE SN(F(x) + identity)
====== ==========================

Convolutions, norms and ``downsample`` have the module names of torchvision and mmdet. Neurons are
added beside them (``sn1``, ``sn2``, ``sn3``, ``downsample_sn``) and hold no parameters unless the
neuron itself is learnable. Plugins (upstream's ``after_conv1`` ...) follow the neuron behind their
convolution; the last ones of a ``BEFORE`` block follow its last norm. Plugins and stochastic depth
(mmpretrain's ``drop_path_rate``) precede the connection.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmcv.cnn import build_norm_layer, build_plugin_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..neurons.batchnorm import is_observed
from ..neurons.clock import Clock
from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError
from .memory_format import give_contiguous
from .saved_spikes import SavedInput, checkpointed

#: Connections after the last neuron.
CONNECTS = ("ADD", "AND", "IAND")


def connect(out: Tensor, identity: Tensor, kind: str) -> Tensor:
    """Returns the SEW function g of two tensors of the same shape."""
    if kind == "ADD":
        return out + identity
    return out * identity if kind == "AND" else identity * (1.0 - out)


class ResidualBlock(BaseModule):
    """Base class of the basic and bottleneck blocks: connection, checkpointing, names of norms."""

    expansion: int
    last_norm: str
    last_neuron: str

    @classmethod
    def identity_init(cls, connect: str) -> dict[str, Any]:
        """Returns the init_cfg with which a block starts as the identity.

        ``zero_init_residual`` selects it. The last neurons are silent for ADD and IAND, and fire at
        every time step for AND (Fang et al. 2021, section 3.3).
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
        # An image keeps or loses the branch at all time steps together.
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
        """Returns ``spikes`` as the input of a convolution, which saves bytes if configured so."""
        # A checkpointed block saves only its own input.
        return SavedInput(spikes, self.compress_spikes and not self.with_cp)

    @abstractmethod
    def current(self, x: SavedInput) -> Tensor:
        """Returns F(x) before its last norm, ``[T*B, C, H, W]``."""

    def _run(self, get_input: Callable[[], Tensor], time_steps: int, compiled: bool) -> Tensor:
        # Set here too: at recomputation the clock may already belong to another forward.
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


__all__ = ["CONNECTS", "ResidualBlock", "connect"]
