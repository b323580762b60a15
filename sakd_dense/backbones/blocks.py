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

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmcv.cnn import build_norm_layer, build_plugin_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..neurons.batchnorm import is_observed
from ..neurons.forward_state import ForwardState
from ..neurons.layer import SpikingNeuron
from ..neurons.spec import BEFORE, BEHIND
from ..runtime.errors import UserError
from .checkpointing import checkpointed
from .memory_format import give_contiguous

if TYPE_CHECKING:
    from .arguments import Architecture

#: Connections after the last neuron.
CONNECTS = ("ADD", "AND", "IAND")


def connect(out: Tensor, identity: Tensor, kind: str) -> Tensor:
    """Returns the SEW function g of two tensors of the same shape."""
    if kind == "ADD":
        return out + identity
    return out * identity if kind == "AND" else identity * (1.0 - out)


class ResidualBlock(BaseModule):
    """Base class of the basic and bottleneck blocks: connection, checkpointing, names of norms.

    Args:
        architecture: arguments that all blocks of the backbone share.
        channels: number of channels of the output.
        state: provides the number of time steps T.
        downsample: convolution and norm of the shortcut; None if the shortcut is the input.
        drop_path_rate: rate of stochastic depth. Default: 0.
        init_cfg: MMEngine's initialisation. Default: None.
    """

    expansion: int
    convolutions: int

    @classmethod
    def identity_init(cls, connect: str) -> dict[str, Any]:
        """Returns the init_cfg with which a block starts as the identity.

        ``zero_init_residual`` selects it. The last neurons are silent for ADD and IAND, and fire at
        every time step for AND (Fang et al. 2021, section 3.3).
        """
        bias = 1 if connect == "AND" else 0
        last = dict(name=f"norm{cls.convolutions}")
        return dict(type="Constant", val=0, bias=bias, override=last)

    def __init__(
        self,
        architecture: Architecture,
        channels: int,
        state: ForwardState,
        *,
        downsample: nn.Module | None = None,
        drop_path_rate: float = 0.0,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self.connect = architecture.connect
        self.with_cp = architecture.with_cp
        self.state = state
        self._norm_cfg, self._neuron = architecture.norm(), architecture.neuron
        self.plugins: dict[str, list[str]] = {}
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else None
        self.downsample = downsample
        self.downsample_sn = None
        if downsample is not None and self.connect != "BEFORE":
            self.downsample_sn = SpikingNeuron(self._neuron, state, channels)

    def _add_neurons(self, channels: int, index: int) -> None:
        """Adds the norm and the neurons behind convolution ``index``."""
        name, norm = build_norm_layer(self._norm_cfg, channels, postfix=index)
        setattr(self, f"norm{index}_name", name)
        self.add_module(name, norm)
        last = index == self.convolutions
        shortcut = BEHIND if last and self.connect == "ADD" else BEFORE
        neurons = SpikingNeuron(self._neuron, self.state, channels, shortcut)
        self.add_module(f"sn{index}", neurons)

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
        images = branch.unflatten(0, (self.state.time_steps, -1)).transpose(0, 1)
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

    @abstractmethod
    def current(self, x: Tensor) -> Tensor:
        """Returns F(x) before its last norm, ``[T*B, C, H, W]``."""

    def _run(self, x: Tensor, time_steps: int) -> Tensor:
        # Set here too: at recomputation the state may already belong to another forward.
        self.state.time_steps = time_steps
        last = self.convolutions
        fire, norm = getattr(self, f"sn{last}"), getattr(self, f"norm{last}")
        current, identity = self.current(x), self._identity(x)
        between = f"conv{last}" in self.plugins or (self.drop_path is not None and self.training)
        if self.connect == "BEFORE":
            if between:
                current, norm = self._drop(self._plug(f"conv{last}", norm(current))), None
            return fire(current, norm, identity)
        # Hooks behind the neuron expect spikes, not the sum.
        if self.connect == "ADD" and not between and not is_observed(fire):
            return fire(current, norm, identity)
        branch = self._drop(self._plug(f"conv{last}", fire(current, norm)))
        return connect(branch, identity, self.connect)

    def _identity(self, x: Tensor) -> Tensor:
        if self.downsample is None:
            return x
        *layers, norm = self.downsample
        for module in layers:
            x = module(x)
        return norm(x) if self.downsample_sn is None else self.downsample_sn(x, norm)

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and torch.is_grad_enabled():
            return checkpointed(self._run, x, self.state.time_steps, of=self)
        return self._run(x, self.state.time_steps)


__all__ = ["CONNECTS", "ResidualBlock", "connect"]
