"""Replacement of the activations of an upstream module by neurons.

Every activation becomes a separate layer of neurons, whose state begins and ends with each call.
Levels, branches and images that share a layer therefore share no membrane potential. The names of
parameters do not change.
"""

from typing import Any

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import HSwish, Swish
from torch import Tensor, nn

from .clock import Clock
from .layer import SpikingNeuron

#: Activations that neurons replace. Gates (``Sigmoid``, ``HSigmoid``, ``Softmax``) do not change.
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    Swish,
    HSwish,
)


class SpikingConvModule(ConvModule):
    """mmcv's ``ConvModule`` whose neuron computes the BatchNorm before it in the same pass.

    Example:
        >>> from mmcv.cnn import ConvModule
        >>> from sakd_dense.neurons import Clock
        >>> from sakd_dense.neurons.activations import replace_activations
        >>> conv = ConvModule(3, 8, 3, norm_cfg=dict(type="BN"))
        >>> replace_activations(conv, "LIFNode", Clock(4)), type(conv).__name__
        (1, 'SpikingConvModule')
    """

    def forward(self, x: Tensor, activate: bool = True, norm: bool = True) -> Tensor:
        in_one_pass = (
            activate
            and norm
            and self.with_norm
            and self.order == ("conv", "norm", "act")
            and not self.with_explicit_padding
        )
        if not in_one_pass:
            return super().forward(x, activate, norm)
        return self.activate(self.conv(x), self.norm)


def replace_activations(module: nn.Module, neuron: dict[str, Any] | str, clock: Clock) -> int:
    """Replaces the activations in ``module``, at any depth, by neurons.

    Args:
        module: Module to change in place.
        neuron: Config of the neurons, see :func:`sakd_dense.neurons.layer.build_node`.
        clock: Clock that all the neurons share.

    Returns:
        The number of replaced activations. An activation that several modules share becomes a
        separate layer in each of them.

    Example:
        >>> from torch import nn
        >>> from sakd_dense.neurons import Clock
        >>> from sakd_dense.neurons.activations import replace_activations
        >>> layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.SiLU())
        >>> replace_activations(layers, "LIFNode", Clock(4)), type(layers[1]).__name__
        (2, 'SpikingNeuron')
    """
    count = 0
    # Outside of a ConvModule, an activation may be called on tensors of several widths.
    channels = None
    if isinstance(module, ConvModule):
        behind = module.order.index("act") > module.order.index("conv")
        channels = module.out_channels if behind else module.in_channels
    # named_children would leave out a child's second name.
    for name, child in list(module._modules.items()):
        if isinstance(child, ACTIVATIONS):
            setattr(module, name, SpikingNeuron(neuron, clock, channels))
            count += 1
            if type(module) is ConvModule:
                # Not a replaced forward: copies and pickles would hold that of the original.
                module.__class__ = SpikingConvModule
        elif child is not None:
            count += replace_activations(child, neuron, clock)
    return count


__all__ = ["ACTIVATIONS", "SpikingConvModule", "replace_activations"]
