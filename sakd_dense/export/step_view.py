"""A backbone as it runs a single time step, of modules alone: what NIR can be written from.

SpikingJelly's exporter follows a module's forward symbolically. Ours folds time into the batch and
gives norms to neurons, which it cannot follow; this view has the same weights, BatchNorm folded
into the convolutions, and SpikingJelly's neurons in single-step mode.
"""

import copy

from spikingjelly.activation_based import neuron
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..backbones import ResidualBackbone
from ..backbones.blocks import Bottleneck, ResidualBlock
from ..neurons import SpikingNeuron


class ExportError(ValueError):
    """What a format cannot express; the message names it."""


class StepView(nn.Module):
    """One time step of a backbone, up to one of its stages.

    Args:
        backbone: in eval mode; it is copied.
        stage: the stage whose output is given, an index as in ``out_indices``.

    Raises:
        ExportError: for what has no counterpart in NIR: max pooling, products of spikes, grouped
            and deformable convolutions, plugins, norms that cannot be folded, soft resets and
            neurons other than IF and LIF.
    """

    def __init__(self, backbone: ResidualBackbone, stage: int) -> None:
        super().__init__()
        _check(backbone)
        stem = backbone._stem_modules()
        layers: list[nn.Module] = []
        for conv, norm, fire in zip(stem[::3], stem[1::3], stem[2::3], strict=True):
            layers += [_folded(conv, norm), _single(fire)]
        self.stem = nn.Sequential(*layers)
        blocks = [b for name in backbone.res_layers[: stage + 1] for b in getattr(backbone, name)]
        self.blocks = nn.Sequential(*(_Block(block) for block in blocks))
        # The mean of one pixel: a node in which the last block's branches meet.
        self.sum = nn.AvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.blocks(self.stem(x)))


class _Block(nn.Module):
    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.before = block.connect == "BEFORE"
        names = "123" if isinstance(block, Bottleneck) else "12"
        layers: list[nn.Module] = []
        for n in names:
            layers.append(_folded(getattr(block, f"conv{n}"), getattr(block, f"norm{n}")))
            layers.append(_single(getattr(block, f"sn{n}")))
        self.last = layers.pop()
        self.branch = nn.Sequential(*layers)
        shortcut: list[nn.Module] = []
        if block.downsample is not None:
            *pool, conv, norm = block.downsample
            shortcut = [*copy.deepcopy(pool), _folded(conv, norm)]
            if block.downsample_sn is not None:
                shortcut.append(_single(block.downsample_sn))
        self.shortcut = nn.Sequential(*shortcut) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(x)
        if self.before:
            return self.last(self.branch(x) + identity)
        return self.last(self.branch(x)) + identity


def _folded(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    return fuse_conv_bn_eval(conv.eval(), norm.eval())


def _single(layer: SpikingNeuron) -> nn.Module:
    node = copy.deepcopy(layer.node)
    node.reset()
    node.step_mode = "s"
    return node


def _check(backbone: ResidualBackbone) -> None:
    kind = type(backbone).__name__
    if not isinstance(backbone.maxpool, nn.Identity):
        raise ExportError(
            f"NIR has no max pooling, which {kind} has behind its stem: train {kind}_CIFAR, or "
            "export to ONNX"
        )
    for name, module in backbone.named_modules():
        if isinstance(module, ResidualBlock):
            if module.connect in ("AND", "IAND"):
                raise ExportError(
                    f"{name}: NIR adds what meets in a node, and connect={module.connect!r} "
                    "multiplies: take 'ADD' or a Spiking backbone, or export to ONNX"
                )
            if module.plugins:
                raise ExportError(f"{name}: NIR has no plugins: export to ONNX")
        elif isinstance(module, nn.Conv2d) and (type(module) is not nn.Conv2d or module.groups > 1):
            raise ExportError(
                f"{name}: NIR has plain convolutions of one group alone, not "
                f"{type(module).__name__} with groups={module.groups}: export to ONNX"
            )
        elif isinstance(module, nn.AvgPool2d) and module.ceil_mode:
            raise ExportError(f"{name}: NIR's average pooling knows no ceil_mode: export to ONNX")
        elif "Norm" in type(module).__name__ and not isinstance(module, _BatchNorm):
            raise ExportError(
                f"{name}: {type(module).__name__} cannot be folded into its convolution, and NIR "
                "has no norms: export to ONNX"
            )
        elif isinstance(module, SpikingNeuron):
            node = module.node
            if type(node) not in (neuron.IFNode, neuron.LIFNode):
                raise ExportError(f"{name}: NIR has IF and LIF neurons, not {type(node).__name__}")
            if node.v_reset is None:
                raise ExportError(
                    f"{name}: NIR's neurons are reset to a value, and v_reset=None subtracts the "
                    "threshold: train with neuron=dict(type='LIFNode', v_reset=0.0, ...), or "
                    "export to ONNX"
                )
