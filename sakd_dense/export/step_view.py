"""One time step of a spiking network, built only from modules that can be written as NIR.

SpikingJelly's exporter traces the forward of a module symbolically. The networks of this package
fold time into the batch and pass norms to neurons, which the exporter cannot trace. This view has
the same weights, with BatchNorm folded into the convolutions, and SpikingJelly's neurons in
single-step mode. NIR, or SpikingJelly's reader of it, lacks nodes for some operations. The view
expresses these with other nodes:

- max pooling of spikes: average pooling, and neurons that fire at any spike and forget it (hard
  reset to 0), which give the same zeros and ones at every time step;
- a neuron that fires up to D spikes, at T = 1: D neurons with thresholds at d - 1/2 of its steps,
  whose spikes are summed; convolutions of one pixel before and after them apply its scale;
- a grouped convolution: a convolution with a single group, whose other weights are zero;
- a convolution of two concatenated inputs: two convolutions whose outputs meet in a neuron.
"""

import copy

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..backbones import ResidualBackbone
from ..backbones.blocks import ResidualBlock
from ..neurons.batchnorm import BatchNorm
from ..neurons.layer import SpikingNeuron
from ..neurons.spec import BEFORE
from ..runtime.errors import UserError


class ExportError(UserError):
    """An error for a layer that a format cannot express, or for an exported file that is wrong.

    The message names the layer or the file.

    Example:
        >>> from sakd_dense.export import ExportError
        >>> from sakd_dense.runtime import UserError
        >>> issubclass(ExportError, UserError)
        True
    """


class StepView(nn.Module):
    """One time step of a backbone, up to one of its stages.

    Args:
        backbone: a backbone in eval mode; it is copied.
        stage: index of the stage whose output is returned, as in ``out_indices``.
        images: ``[B, C, H, W]``, of the size that the graph will see.

    Raises:
        ExportError: a layer has no counterpart in NIR: products of spikes, deformable
            convolutions, plugins, norms that cannot be folded, neurons other than IF, LIF and those
            that fire integers, soft resets of IF and LIF, and pooling of a size that does not
            divide.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet
        >>> from sakd_dense.export import StepView
        >>> neuron = dict(type="IFNode", v_reset=0.0)  # NIR has no soft reset
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8, neuron=neuron).eval()
        >>> images = torch.rand(1, 3, 64, 64)
        >>> tuple(StepView(backbone, 3, images)(images).shape)
        (1, 64, 2, 2)
    """

    def __init__(self, backbone: ResidualBackbone, stage: int, images: Tensor) -> None:
        super().__init__()
        check_layers(backbone)
        _check_pooling(backbone, images)
        stem = backbone.stem_modules()
        layers: list[nn.Module] = []
        for conv, norm, fire in zip(stem[::3], stem[1::3], stem[2::3], strict=True):
            layers += [folded(conv, norm), single(fire)]
        if isinstance(backbone.maxpool, nn.MaxPool2d):
            layers[-1] = single(stem[-1], backbone.maxpool)
        self.stem = nn.Sequential(*layers)
        blocks = [b for name in backbone.res_layers[: stage + 1] for b in getattr(backbone, name)]
        self.blocks = nn.Sequential(*(_Block(block) for block in blocks))
        # A mean over one pixel is the node in which the branches of the last block meet.
        self.sum = nn.AvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.blocks(self.stem(x)))


class _Block(nn.Module):
    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n in range(1, block.convolutions + 1):
            layers.append(folded(getattr(block, f"conv{n}"), getattr(block, f"norm{n}")))
            neurons = getattr(block, f"sn{n}")
            layers.append(single(neurons))
        self.before = neurons.spec.shortcut == BEFORE
        self.last = layers.pop()
        self.branch = nn.Sequential(*layers)
        shortcut: list[nn.Module] = []
        if block.downsample is not None:
            *pools, conv, norm = block.downsample
            shortcut = [nn.AvgPool2d(p.kernel_size, p.stride) for p in pools]
            shortcut.append(folded(conv, norm))
            if block.downsample_sn is not None:
                shortcut.append(single(block.downsample_sn))
        self.shortcut = nn.Sequential(*shortcut) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(x)
        if self.before:
            return self.last(self.branch(x) + identity)
        return self.last(self.branch(x)) + identity


def folded(conv: nn.Module, norm: nn.Module | None) -> nn.Conv2d:
    """Returns ``norm(conv(x))`` as a plain convolution with one group."""
    if norm is not None:
        conv = fuse_conv_bn_eval(conv.eval(), norm.eval())
    outputs, inputs = conv.out_channels // conv.groups, conv.in_channels // conv.groups
    weight = conv.weight.data.new_zeros(conv.out_channels, conv.in_channels, *conv.kernel_size)
    for group, part in enumerate(conv.weight.data.split(outputs)):
        rows, columns = group * outputs, group * inputs
        weight[rows : rows + outputs, columns : columns + inputs] = part
    return plain(conv, weight, conv.bias)


def plain(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Returns a convolution with the geometry of ``conv`` and another weight."""
    outputs, inputs, *kernel = weight.shape
    made = nn.Conv2d(
        inputs, outputs, kernel, conv.stride, conv.padding, conv.dilation, bias=bias is not None
    )
    made.weight = nn.Parameter(weight.detach().clone())
    made.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return made


def single(layer: SpikingNeuron, pool: nn.MaxPool2d | None = None) -> nn.Module:
    """Returns the neurons of ``layer`` in single-step mode, with max pooling of their spikes."""
    if _fires_counts(layer):
        return _Counts(layer, pool)
    node = copy.deepcopy(layer.node)
    node.reset()
    node.step_mode = "s"
    return node if pool is None else nn.Sequential(node, *_any_spike(pool))


def _fires_counts(layer: SpikingNeuron) -> bool:
    dynamics = layer.spec.dynamics
    return dynamics is not None and dynamics.max_spikes is not None


class _Counts(nn.Module):
    """Neurons that fire up to D spikes in their only step, as D neurons of one spike each."""

    def __init__(self, layer: SpikingNeuron, pool: nn.MaxPool2d | None) -> None:
        super().__init__()
        scale = layer.scale
        if scale is not None and scale.dim() == 0:
            raise ExportError(
                "NIR needs a scale for each channel of a NILIFNode, but this one has a single "
                "scale because its layer has no number of channels; export to ONNX"
            )
        self.into = nn.Sequential() if scale is None else _each_channel(1 / scale)
        self.out = nn.Sequential() if scale is None else _each_channel(scale)
        self.slots = nn.ModuleList()
        for d in range(1, layer.max_spikes + 1):
            threshold = (d - 0.5) * layer.node.v_threshold
            fires = neuron.IFNode(v_threshold=threshold, v_reset=0.0, step_mode="s")
            self.slots.append(nn.Sequential(fires, *([] if pool is None else _any_spike(pool))))

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        total = self.slots[0](x)
        for slot in self.slots[1:]:
            total = total + slot(x)
        return self.out(total)


def _each_channel(factors: Tensor) -> nn.Conv2d:
    made = nn.Conv2d(len(factors), len(factors), 1, bias=False).to(factors)
    made.weight = nn.Parameter(factors.detach().diag()[..., None, None])
    return made


def _any_spike(pool: nn.MaxPool2d) -> list[nn.Module]:
    cells = pool.kernel_size**2
    fires = neuron.IFNode(v_threshold=0.5 / cells, v_reset=0.0)
    return [nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding), fires]


@torch.no_grad()
def _check_pooling(backbone: ResidualBackbone, images: Tensor) -> None:
    """Raises if the size does not divide: NIR's average pooling has no ``ceil_mode``."""
    handles = []

    def check(name: str) -> None:
        def hook(pool: nn.AvgPool2d, args: tuple[Tensor, ...]) -> None:
            stride = pool.stride if isinstance(pool.stride, int) else max(pool.stride)
            height, width = args[0].shape[-2:]
            if pool.ceil_mode and (height % stride or width % stride):
                raise ExportError(
                    f"{name}: NIR's average pooling has no ceil_mode, and {height}x{width} is not "
                    f"a multiple of {stride}: use images of another size, or export to ONNX"
                )

        handles.append(backbone.get_submodule(name).register_forward_pre_hook(hook))

    for name, module in backbone.named_modules():
        if isinstance(module, nn.AvgPool2d):
            check(name)
    try:
        if handles:
            backbone(images)
    finally:
        for handle in handles:
            handle.remove()


def check_layers(part: nn.Module) -> None:
    """Raises :class:`ExportError` for the first layer that NIR cannot express."""
    for name, module in part.named_modules():
        if isinstance(module, ResidualBlock):
            if module.connect in ("AND", "IAND"):
                raise ExportError(
                    f"{name}: NIR adds the inputs of a node, but connect={module.connect!r} "
                    "multiplies them: use 'ADD' or a Spiking backbone, or export to ONNX"
                )
            if module.plugins:
                raise ExportError(f"{name}: NIR has no plugins: export to ONNX")
        elif "Conv2d" in type(module).__name__ and type(module) is not nn.Conv2d:
            raise ExportError(
                f"{name}: NIR has plain convolutions only, not {type(module).__name__}: export to "
                "ONNX"
            )
        elif "Norm" in type(module).__name__ and not isinstance(module, BatchNorm):
            raise ExportError(
                f"{name}: {type(module).__name__} cannot be folded into its convolution, and NIR "
                "has no norms: export to ONNX"
            )
        elif isinstance(module, SpikingNeuron):
            dynamics = module.spec.dynamics
            if dynamics is None:
                raise ExportError(
                    f"{name}: NIR has IF and LIF neurons, not {type(module.node).__name__}"
                )
            if _fires_counts(module):
                continue  # in one time step nothing is reset
            if dynamics.reset is None:
                raise ExportError(
                    f"{name}: NIR has only the hard reset, but v_reset=None is the soft reset, "
                    "which subtracts the threshold: train with neuron=dict(type='LIFNode', "
                    "v_reset=0.0, ...), or export to ONNX"
                )
            if dynamics.start != dynamics.reset:
                raise ExportError(
                    f"{name}: neurons of NIR start at rest, but v_init={module.node.v_init} starts "
                    "this one at a share of its threshold: leave v_init out, or export to ONNX"
                )


__all__ = ["ExportError", "StepView", "check_layers", "folded", "plain", "single"]
