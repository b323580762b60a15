"""Replacement of the activations of an upstream module by neurons.

Every activation becomes a separate layer of neurons, whose state begins and ends with each call.
Levels, branches and images that share a layer therefore share no membrane potential. The names of
parameters do not change.
"""

from typing import Any

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath, HSwish, Swish
from torch import Tensor, nn

from .forward_state import ForwardState
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
    """mmcv's ``ConvModule`` whose neuron computes the BatchNorm before it in the same pass."""

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


#: Modules with the residual blocks whose forward :class:`SpikingResidualBlock` replaces.
_RESIDUAL = {f"{package}.models.backbones.resnet" for package in ("mmdet", "mmseg", "mmpretrain")}
_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


class SpikingResidualBlock(nn.Module):
    """Upstream's ``BasicBlock`` or ``Bottleneck`` with BatchNorm and shortcut in the neurons' pass.

    :func:`replace_activations` derives a class from this one and the class of the block, for the
    blocks of ``HRNet``, ``RegNet``, ``HourglassNet`` and others. With plugins, checkpointing or
    active stochastic depth, upstream's forward runs.
    """

    def forward(self, x: Tensor) -> Tensor:
        dropped = isinstance(getattr(self, "drop_path", None), DropPath) and self.training
        if dropped or getattr(self, "with_plugins", False) or (self.with_cp and x.requires_grad):
            return super().forward(x)
        last = 3 if hasattr(self, "conv3") else 2
        out = x
        for index in range(1, last):
            out = self.relu(getattr(self, f"conv{index}")(out), getattr(self, f"norm{index}"))
        out = getattr(self, f"conv{last}")(out)
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(out, getattr(self, f"norm{last}"), identity)


def _spiking_class(module: nn.Module) -> type[nn.Module] | None:
    """Returns the class with a pass of BatchNorm and neuron, for the modules that have one."""
    kind = type(module)
    if kind is ConvModule:
        return SpikingConvModule
    # By the function: subclasses that keep upstream's forward have the same layers.
    forward = kind.forward
    names = ("BasicBlock.forward", "Bottleneck.forward")
    if forward.__module__ not in _RESIDUAL or forward.__qualname__ not in names:
        return None
    if kind not in _CLASSES:
        bases = (SpikingResidualBlock, kind)
        _CLASSES[kind] = type(f"Spiking{kind.__name__}", bases, dict(__module__=__name__))
    return _CLASSES[kind]


def replace_activations(
    module: nn.Module, neuron: dict[str, Any] | str, state: ForwardState
) -> int:
    """Replaces the activations in ``module``, at any depth, by neurons.

    Args:
        module: module to change in place.
        neuron: config of the neurons, see :func:`sakd_dense.neurons.nodes.build_node`.
        state: ForwardState that all the neurons share.

    Returns:
        The number of replaced activations. An activation that several modules share becomes a
        separate layer in each of them.
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
            setattr(module, name, SpikingNeuron(neuron, state, channels))
            count += 1
            # A class, not a forward in the instance: copies would call that of the original.
            module.__class__ = _spiking_class(module) or module.__class__
        elif child is not None:
            count += replace_activations(child, neuron, state)
    return count


__all__ = ["ACTIVATIONS", "SpikingConvModule", "SpikingResidualBlock", "replace_activations"]
