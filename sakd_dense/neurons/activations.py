"""Neurons in the place of the activations of an upstream module.

Every activation becomes a layer of neurons of its own, whose state begins and ends with each call:
levels, branches and images that share a layer share no potential. Names of parameters stay.
"""

from typing import Any

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import HSwish, Swish
from torch import Tensor, nn

from .clock import Clock
from .layer import SpikingNeuron

#: What neurons take the place of. Gates (``Sigmoid``, ``HSigmoid``, ``Softmax``) stay as they are.
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
        module: changed in place.
        neuron: see :func:`sakd_dense.neurons.layer.build_node`.
        clock: of all the neurons.

    Returns:
        The number of activations replaced; one that several modules share becomes a layer in each.

    Example:
        >>> from torch import nn
        >>> from sakd_dense.neurons import Clock
        >>> from sakd_dense.neurons.activations import replace_activations
        >>> layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.SiLU())
        >>> replace_activations(layers, "LIFNode", Clock(4)), type(layers[1]).__name__
        (2, 'SpikingNeuron')
    """
    count = 0
    # Elsewhere an activation may be called on tensors of several widths.
    channels = None
    if isinstance(module, ConvModule):
        behind = module.order.index("act") > module.order.index("conv")
        channels = module.out_channels if behind else module.in_channels
    # Not named_children, which leaves out a child's second name.
    for name, child in list(module._modules.items()):
        if isinstance(child, ACTIVATIONS):
            setattr(module, name, SpikingNeuron(neuron, clock, channels))
            count += 1
            if type(module) is ConvModule:
                # Not a forward of its own: copies and pickles would hold that of the original.
                module.__class__ = SpikingConvModule
        elif child is not None:
            count += replace_activations(child, neuron, clock)
    return count


__all__ = ["ACTIVATIONS", "SpikingConvModule", "replace_activations"]
