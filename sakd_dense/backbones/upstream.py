"""Upstream's convolutional backbones with neurons instead of activations.

Time is folded into the batch axis, and upstream's own ``forward`` runs unchanged::

    [B, C, H, W] -> layers before the first neurons -> neurons repeat it T times
                 -> [T*B, C, H, W] -> upstream's other layers -> the readout of every backbone

The ResNets have a separate pass (:mod:`.resnet`), which also fuses shortcuts and supports SEW.
"""

import inspect
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..neurons.activations import replace_activations
from ..neurons.nodes import DEFAULT_NEURON
from ..runtime.arguments import typed
from ..runtime.errors import UserError
from .base import SpikingBackbone
from .examine import examine
from .memory_format import guard_operators, laid_out


class UpstreamBackbone(SpikingBackbone):
    """Mixin that replaces the activations of an upstream backbone by neurons.

    The mixin comes before the upstream class:
    ``class SpikingCSPDarknet(UpstreamBackbone, CSPDarknet)``.

    All arguments except those below are upstream's and keep their meaning. One default differs, as
    for the ResNets: ``norm_eval=False``, because an ANN's BatchNorm statistics do not fit spikes.
    Parameters keep upstream's names, so upstream's checkpoints load.

    Args:
        time_steps, neuron, output: as in :class:`~sakd_dense.backbones.resnet.ResidualBackbone`.

    Attributes:
        repeats_images: whether images are repeated T times before the first layer, because
            upstream joins images and the outputs of neurons (``CGNet``). If False, the layers
            before the first neurons run once.

    Raises:
        UserError: Upstream's backbone has no activation that a neuron could replace, calls one as
            a function, or has attention; or the arguments contain ``connect``, which only the
            ResNets accept.

    Example:
        >>> from mmengine.registry import MODELS
        >>> from sakd_dense.backbones import UpstreamBackbone
        >>> cfg = dict(type="SpikingMobileNetV2", _scope_="mmdet", time_steps=2)
        >>> backbone = MODELS.build(cfg)
        >>> isinstance(backbone, UpstreamBackbone), backbone.time_steps
        (True, 2)
    """

    #: Set by :func:`.declared.declare_backbone`.
    upstream: type[nn.Module]
    _bare = False  # whether upstream returned a tensor, as PIDNet does in eval mode

    @typed
    def __init__(
        self,
        *args: Any,
        time_steps: int = 4,
        neuron: dict[str, Any] | str | None = None,
        output: str = "rate",
        **kwargs: Any,
    ) -> None:
        if "connect" in kwargs:
            raise UserError(
                f"{type(self).__name__}: connect={kwargs['connect']!r} applies to ResNets only; "
                "leave it out"
            )
        arguments = _arguments(self.upstream)
        if "norm_eval" in arguments:
            kwargs.setdefault("norm_eval", False)
        if not issubclass(self.upstream, BaseModule):
            BaseModule.__init__(self)
        self.upstream.__init__(self, *args, **kwargs)
        self._keep_time(time_steps, output)
        self.neuron = DEFAULT_NEURON if neuron is None else neuron
        if not replace_activations(self, self.neuron, self.state):
            raise UserError(
                f"{type(self).__name__} has no activation that a neuron could replace (a module "
                "such as nn.ReLU or nn.SiLU)"
            )
        channels = kwargs.get("in_channels", arguments.get("in_channels", 3))
        guard_operators(self)
        examine(self, channels if isinstance(channels, int) else 3)

    def sequences(self, x: Tensor) -> tuple[Tensor, ...]:
        steps, batch = self.state.time_steps, x.shape[-4]
        if x.dim() == 5:
            x = x.flatten(0, 1)
        elif self.repeats_images:
            x = x.repeat(steps, 1, 1, 1)
        elif steps > 1:  # at T = 1 nothing is repeated
            self.state.images = batch
        images = self.state.images
        stages = self.upstream.forward(self, laid_out(x) if self.channels_last else x)
        self._bare = isinstance(stages, Tensor)
        if self._bare:
            stages = (stages,)
        # A stage before the first neurons is the same at every time step.
        stages = tuple(torch.cat([s] * steps) if len(s) == images else s for s in stages)
        if any(len(s) != steps * batch for s in stages):
            raise UserError(
                f"{type(self).__name__} returns stages of {[len(s) for s in stages]} images for "
                f"{batch} at {steps} time steps: it puts branches into the batch axis, which the "
                "time steps need"
            )
        return stages

    def format_features(self, features: tuple[Tensor, ...]) -> Any:
        return features[0] if self._bare else features

    def train(self, mode: bool = True) -> "UpstreamBackbone":
        super().train(mode)  # some upstream classes return None
        return self


def _arguments(upstream: type[nn.Module]) -> dict[str, Any]:
    """Returns the arguments of an upstream class and those it passes on, with their defaults."""
    found: dict[str, Any] = {}
    for kind in upstream.__mro__:
        parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
        for name, parameter in parameters.items():
            found.setdefault(name, parameter.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return found


__all__ = ["UpstreamBackbone"]
