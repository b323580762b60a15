"""Spiking residual network, a drop-in replacement for mmdet's, mmseg's and mmpretrain's ResNets."""

import warnings
from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import Sequential
from torch import Tensor, nn

from ..neurons.batchnorm import BatchNorm
from ..neurons.forward_state import repeat_in_time
from ..neurons.layer import SpikingNeuron
from ..neurons.nodes import DEFAULT_NEURON
from ..runtime.arguments import typed
from ..runtime.errors import UserError
from .arguments import Architecture, Config
from .base import SpikingBackbone
from .memory_format import guard_operators, laid_out


class ResidualBackbone(SpikingBackbone):
    """Base class of SEW-ResNet and Spiking-ResNet, with upstream's arguments and parameter names.

    The arguments of mmdet's, mmseg's and mmpretrain's ``ResNet`` and ``ResNeXt`` keep their meaning
    (:class:`~.arguments.Architecture` lists them), so a changed ``type`` is enough to make an
    upstream config spike. One default differs from mmdet's: ``norm_eval=False``, as in mmseg (an
    ANN's BatchNorm statistics do not fit spikes).

    The layers before the first neuron (``conv1``/``bn1``, or the first two layers of a deep stem)
    run once on images, not T times. All later layers receive a batch of ``T*B``.

    Args:
        depth: 18, 34, 50, 101 or 152.
        pretrained: upstream's deprecated argument; use ``init_cfg``.
        init_cfg: MMEngine's initialisation. None (default) means upstream's.
        time_steps: number of time steps T, see :class:`SpikingBackbone`. Default: 4.
        neuron: a SpikingJelly neuron by name or as ``dict(type='LIFNode', tau=2.0, ...)``, see
            :func:`sakd_dense.neurons.nodes.build_node`. None (default) means ``DEFAULT_NEURON``.
        connect: one of ``connects``, see :mod:`sakd_dense.backbones.blocks`. None (default) means
            the first.
        output: ``'rate'`` (default) returns ``[B, C, H, W]``, ``'sequence'`` returns
            ``[T, B, C, H, W]``.
        **upstream: upstream's other arguments.

    Raises:
        UserError: an argument is unknown or outside its range.

    Example:
        >>> from sakd_dense import SEWResNet, SpikingResNet
        >>> from sakd_dense.backbones import ResidualBackbone
        >>> issubclass(SEWResNet, ResidualBackbone), SEWResNet.connects, SpikingResNet.connects
        (True, ('ADD', 'AND', 'IAND'), ('BEFORE',))
    """

    connects: tuple[str, ...]

    @typed
    def __init__(
        self,
        depth: int,
        pretrained: str | None = None,
        init_cfg: Any = None,
        *,
        time_steps: int = 4,
        neuron: Config | str | None = None,
        connect: str | None = None,
        output: str = "rate",
        **upstream: Any,
    ) -> None:
        architecture = self._checked(
            depth=depth,
            neuron=DEFAULT_NEURON if neuron is None else neuron,
            connects=self.connects,
            connect=self.connects[0] if connect is None else connect,
            **upstream,
        )
        if pretrained is not None:
            init_cfg = _pretrained(pretrained, init_cfg)
        block_init_cfg = None
        if init_cfg is None:
            init_cfg = [
                dict(type="Kaiming", layer="Conv2d"),
                dict(type="Constant", val=1, layer=["_BatchNorm", "GroupNorm"]),
            ]
            if architecture.zero_init_residual:
                block_init_cfg = architecture.block.identity_init(architecture.connect)
        super().__init__(time_steps, output, init_cfg)
        self.architecture = architecture
        self.depth = depth
        self.deep_stem = architecture.deep_stem
        self.frozen_stages = architecture.frozen_stages
        self.norm_eval = architecture.norm_eval
        self.out_indices = tuple(architecture.out_indices)
        self.norm_cfg = architecture.norm()
        self.neuron = architecture.neuron

        channels, base_channels = architecture.stem_channels, architecture.base_channels
        inplanes = base_channels if channels is None else channels
        self._make_stem(architecture.in_channels, inplanes)
        self.res_layers: list[str] = []
        for stage in range(architecture.num_stages):
            self.res_layers.append(f"layer{stage + 1}")
            self.add_module(self.res_layers[-1], self._make_stage(stage, inplanes, block_init_cfg))
            inplanes = architecture.width(stage)
        self.feat_dim = inplanes
        _check_connection(self.neurons, architecture.connect)
        guard_operators(self)
        self.lay_out()
        self._freeze_stages()

    @classmethod
    def _checked(cls, **arguments: Any) -> Architecture:
        unknown = set(arguments) - set(Architecture.__dataclass_fields__)
        for name in sorted(unknown):
            raise UserError(f"{cls.__name__}: {name}={arguments[name]!r}: no such argument")
        return Architecture(**arguments)

    @property
    def norm1(self) -> nn.Module:
        return getattr(self, self.norm1_name)

    def _conv(self, inplanes: int, planes: int, size: int, stride: int) -> nn.Module:
        return build_conv_layer(
            self.architecture.conv_cfg,
            inplanes,
            planes,
            size,
            stride=stride,
            padding=size // 2,
            bias=False,
        )

    def _make_stem(self, in_channels: int, channels: int) -> None:
        if self.deep_stem:
            half = channels // 2
            layers: list[nn.Module] = []
            for i, (c_in, c_out) in enumerate(
                [(in_channels, half), (half, half), (half, channels)]
            ):
                layers.append(self._conv(c_in, c_out, 3, 2 if i == 0 else 1))
                layers.append(build_norm_layer(self.norm_cfg, c_out)[1])
                layers.append(SpikingNeuron(self.neuron, self.state, c_out))
            self.stem = nn.Sequential(*layers)
        else:
            self.conv1 = self._conv(in_channels, channels, 7, 2)
            self.norm1_name, norm1 = build_norm_layer(self.norm_cfg, channels, postfix=1)
            self.add_module(self.norm1_name, norm1)
            self.sn1 = SpikingNeuron(self.neuron, self.state, channels)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def _make_stage(self, stage: int, inplanes: int, init_cfg: Config | None) -> Sequential:
        """Builds the blocks of a stage, each with ``init_cfg``."""
        architecture = self.architecture
        width = architecture.width(stage)
        dilations = architecture.block_dilations(stage)
        drop_path_rates = architecture.drop_path_rates(stage)
        blocks = []
        for j, (dilation, rate) in enumerate(zip(dilations, drop_path_rates, strict=True)):
            stride = architecture.strides[stage] if j == 0 else 1
            downsample = None
            if j == 0 and (stride != 1 or inplanes != width):
                downsample = self._make_downsample(inplanes, width, stride, architecture.avg_down)
            blocks.append(
                architecture.block(
                    architecture,
                    stage,
                    inplanes,
                    self.state,
                    stride=stride,
                    dilation=dilation,
                    downsample=downsample,
                    drop_path_rate=rate,
                    init_cfg=init_cfg,
                )
            )
            inplanes = width
        return Sequential(*blocks)

    def _make_downsample(
        self, inplanes: int, planes: int, stride: int, avg_down: bool
    ) -> nn.Module:
        layers: list[nn.Module] = []
        if avg_down:
            layers.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
            stride = 1
        layers.append(self._conv(inplanes, planes, 1, stride))
        layers.append(build_norm_layer(self.norm_cfg, planes)[1])
        return nn.Sequential(*layers)

    def stem_modules(self) -> list[nn.Module]:
        """Returns convolution, norm and neurons of each layer of the stem, in order."""
        return list(self.stem) if self.deep_stem else [self.conv1, self.norm1, self.sn1]

    def sequences(self, x: Tensor) -> tuple[Tensor, ...]:
        stem, frames = self.stem_modules(), x.dim() == 5
        for conv, norm, fire in zip(stem[::3], stem[1::3], stem[2::3], strict=True):
            first = conv is stem[0]
            x = x.flatten(0, -4)
            if first:
                x = laid_out(x)  # all later tensors keep this layout
            x = conv(x)
            if first and not frames:  # the same at every t, computed once
                x = repeat_in_time(x, self.state.time_steps)
            x = fire(x, norm)
        x = self.maxpool(x)
        outs = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen = self.stem_modules()
        frozen += [getattr(self, name) for name in self.res_layers[: self.frozen_stages]]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> "ResidualBackbone":
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, BatchNorm):
                    module.eval()
        return self


def _check_connection(neurons: list[SpikingNeuron], kind: str) -> None:
    """Raises UserError if the SEW function g multiplies outputs that are not binary."""
    most = max((neuron.max_spikes for neuron in neurons), default=1)
    if kind in ("AND", "IAND") and most > 1:
        raise UserError(
            f"connect={kind!r}: the product needs binary spikes, but the neurons fire up to "
            f"D={most}; use connect='ADD', or a Spiking backbone, which sums before the neuron"
        )


def _pretrained(checkpoint: Any, init_cfg: Any) -> Config:
    """Returns the init_cfg for upstream's deprecated argument ``pretrained``."""
    if init_cfg is not None:
        raise UserError("set either init_cfg or pretrained, not both")
    if not isinstance(checkpoint, str):
        raise UserError(f"pretrained={checkpoint!r}: must be a path, or None")
    # Level 3 is the caller of the constructor.
    warnings.warn("pretrained is deprecated; use init_cfg", DeprecationWarning, stacklevel=3)
    return dict(type="Pretrained", checkpoint=checkpoint)


__all__ = ["ResidualBackbone"]
