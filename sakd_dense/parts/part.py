"""Upstream's necks and heads with neurons instead of activations.

A spiking part receives the backbone's sequences (``output='sequence'``) and folds time into the
batch axis, so that upstream's own forward runs unchanged::

    neck:  [T, B, C, H, W] -> fold -> upstream's forward, neurons instead of ReLU -> [T, B, C, H, W]
    head:  [T, B, C, H, W] -> fold -> ... -> its last layer -> mean over T -> [B, C, H, W]

A head returns what upstream's losses and post-processing expect.
:mod:`sakd_dense.neurons.activations` replaces the activations by neurons.
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from ..neurons.activations import replace_activations
from ..neurons.forward_state import ForwardState
from ..neurons.nodes import DEFAULT_NEURON
from ..runtime.errors import UserError


class SpikingPart(nn.Module):
    """Mixin before an upstream neck or head, as in ``class SpikingFPN(SpikingNeck, FPN)``.

    All arguments except ``neuron`` are upstream's. Arguments that are left out take their values
    from ``defaults`` where it names them.

    Args:
        neuron: config of the neurons, as in the backbone. None (default) means ``DEFAULT_NEURON``.

    Raises:
        UserError: the upstream class has no activation that neurons could replace.

    Example:
        >>> from mmengine.registry import MODELS
        >>> from sakd_dense.parts import SpikingPart
        >>> channels = dict(in_channels=[8, 16], out_channels=8)
        >>> neck = MODELS.build(dict(type="SpikingFPN", num_outs=2, **channels))
        >>> isinstance(neck, SpikingPart)
        True
    """

    #: Default arguments of the upstream class, without which it would have no neurons that fire.
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, neuron: dict[str, Any] | str | None = None, **kwargs: Any):
        super().__init__(*args, **{**self.defaults, **kwargs})
        self.state = ForwardState(1)
        if not replace_activations(self, DEFAULT_NEURON if neuron is None else neuron, self.state):
            raise UserError(
                f"{type(self).__name__} has no activation that neurons could replace: set "
                "act_cfg=dict(type='ReLU')"
            )

    def _fold(self, inputs: Any) -> Any:
        """Folds T of ``inputs`` into B, and starts the state with T."""
        sequences = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        shapes = {tuple(s.shape[:2]) for s in sequences}
        if any(s.dim() != 5 for s in sequences) or len(shapes) != 1:
            raise UserError(
                f"{type(self).__name__} expects sequences [T, B, C, H, W], got tensors of shape "
                f"{', '.join(str(tuple(s.shape)) for s in sequences)}: set "
                "model.backbone.output='sequence', and use a spiking neck before a spiking head"
            )
        steps = sequences[0].shape[0]
        self.state.start(steps)
        folded = [s.flatten(0, 1) for s in sequences]
        return folded[0] if isinstance(inputs, Tensor) else tuple(folded)

    def _over_time(self, output: Any) -> Any:
        """Returns ``output`` with every tensor replaced by its mean over T."""
        if isinstance(output, Tensor):
            return self.state.rate(output.unflatten(0, (self.state.time_steps, -1)))
        if isinstance(output, list | tuple):
            return type(output)(self._over_time(o) for o in output)
        return output


class SpikingNeck(SpikingPart):
    """Neck that receives sequences and returns sequences, ``[T, B, C, H, W]``.

    Example:
        >>> import torch
        >>> from mmengine.registry import MODELS
        >>> channels = dict(in_channels=[8, 16], out_channels=8)
        >>> neck = MODELS.build(dict(type="SpikingFPN", num_outs=2, **channels))
        >>> sequences = torch.ones(4, 1, 8, 8, 8), torch.ones(4, 1, 16, 4, 4)
        >>> [tuple(s.shape) for s in neck(sequences)]
        [(4, 1, 8, 8, 8), (4, 1, 8, 4, 4)]
    """

    def forward(self, inputs: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        outputs = super().forward(self._fold(inputs), *args, **kwargs)
        steps = self.state.time_steps
        return tuple(o.unflatten(0, (steps, -1)) for o in outputs)


class SpikingDenseHead(SpikingPart):
    """One-stage head of mmdet, whose outputs are averaged over T.

    Example:
        >>> import torch
        >>> from mmengine.registry import MODELS
        >>> head = dict(type="SpikingFCOSHead", num_classes=3, in_channels=8, feat_channels=32)
        >>> scores, *_ = MODELS.build(head)([torch.ones(4, 1, 8, 8, 8)] * 5)
        >>> tuple(scores[0].shape)
        (1, 3, 8, 8)
    """

    def forward(self, inputs: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> Any:
        return self._over_time(super().forward(self._fold(inputs), *args, **kwargs))


class SpikingDecodeHead(SpikingPart):
    """Decode head of mmseg, whose logits (outputs of ``conv_seg``) are averaged over T.

    Example:
        >>> import torch
        >>> from mmengine.registry import MODELS
        >>> head = dict(type="SpikingFCNHead", in_channels=8, channels=8, num_classes=3, in_index=0)
        >>> tuple(MODELS.build(head)([torch.ones(4, 1, 8, 8, 8)]).shape)
        (1, 3, 8, 8)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A hook on this layer, not on forward: mmseg's losses and level 2 read the layer.
        self.conv_seg.register_forward_hook(_MeanOverTime(self))

    def forward(self, inputs: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> Any:
        return super().forward(self._fold(inputs), *args, **kwargs)


class _MeanOverTime:
    # A class, because deepcopy and pickle do not support a closure.
    def __init__(self, part: SpikingPart) -> None:
        self.part = part

    def __call__(self, _module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return self.part._over_time(output)


__all__ = ["SpikingDecodeHead", "SpikingDenseHead", "SpikingNeck", "SpikingPart"]
