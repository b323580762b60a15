"""Spiking residual network, a drop-in replacement for mmdet's, mmseg's and mmpretrain's ResNets."""

import warnings
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import Sequential
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..neurons.clock import repeat_in_time
from ..neurons.layer import SpikingNeuron
from ..neurons.nodes import DEFAULT_NEURON
from ..runtime.arguments import typed
from ..runtime.errors import UserError
from .arguments import Architecture, Config
from .base import SpikingBackbone
from .memory_format import guard_operators, laid_out
from .saved_spikes import SavedInput, check_spikes


class ResidualBackbone(SpikingBackbone):
    """Base class of SEW-ResNet and Spiking-ResNet, with upstream's arguments and parameter names.

    The arguments of mmdet's and mmseg's ``ResNet`` and ``ResNeXt`` keep their meaning, so a changed
    ``type`` is enough to make an upstream config spike. One default differs from mmdet's:
    ``norm_eval=False``, as in mmseg (an ANN's BatchNorm statistics do not fit spikes).

    The layers before the first neuron (``conv1``/``bn1``, or the first two layers of a deep stem)
    run once on images, not T times. All later layers receive a batch of ``T*B``.

    Args:
        depth: 18, 34, 50, 101 or 152.
        drop_path_rate: Rate of stochastic depth at the last block; it grows from 0 at the first
            block. In training, an image loses a block's branch at every time step, or the branch is
            scaled up, as in upstream. Default: 0.
        expansion: mmpretrain's ``expansion``, for depths of 50 and more. None (default) means 4.
        time_steps: Number of time steps T, see :class:`SpikingBackbone`. Default: 4.
        neuron: A SpikingJelly neuron by name or as ``dict(type='LIFNode', tau=2.0, ...)``, see
            :func:`sakd_dense.neurons.nodes.build_node`. None (default) means ``DEFAULT_NEURON``.
        connect: One of ``connects``, see :mod:`sakd_dense.backbones.blocks`. None (default) means
            the first.
        output: ``'rate'`` (default) returns ``[B, C, H, W]``, ``'sequence'`` returns
            ``[T, B, C, H, W]``.
        compress_spikes: Whether to keep spikes for backward as bytes (:mod:`.saved_spikes`), which
            saves memory for a little time. It can be combined with ``with_cp``, which saves more
            memory for more time. Default: False.

    Raises:
        UserError: An argument is outside its range.

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
        in_channels: int = 3,
        stem_channels: int | None = None,
        base_channels: int = 64,
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        style: str = "pytorch",
        deep_stem: bool = False,
        avg_down: bool = False,
        frozen_stages: int = -1,
        conv_cfg: Config | None = None,
        norm_cfg: Config | None = None,
        norm_eval: bool = False,
        dcn: Config | None = None,
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        plugins: list[Config] | None = None,
        multi_grid: Sequence[int] | None = None,
        contract_dilation: bool = False,
        groups: int = 1,
        base_width: int = 4,
        with_cp: bool = False,
        zero_init_residual: bool = True,
        pretrained: str | None = None,
        init_cfg: Any = None,
        drop_path_rate: float = 0.0,
        expansion: int | None = None,
        *,
        time_steps: int = 4,
        neuron: Config | str | None = None,
        connect: str | None = None,
        output: str = "rate",
        compress_spikes: bool = False,
    ) -> None:
        architecture = Architecture(
            connects=self.connects,
            connect=self.connects[0] if connect is None else connect,
            depth=depth,
            base_channels=base_channels,
            num_stages=num_stages,
            strides=strides,
            dilations=dilations,
            out_indices=out_indices,
            style=style,
            avg_down=avg_down,
            frozen_stages=frozen_stages,
            conv_cfg=conv_cfg,
            dcn=dcn,
            stage_with_dcn=stage_with_dcn,
            plugins=plugins,
            multi_grid=multi_grid,
            contract_dilation=contract_dilation,
            groups=groups,
            base_width=base_width,
            with_cp=with_cp,
            drop_path_rate=drop_path_rate,
            expansion=expansion,
            compress_spikes=compress_spikes,
        )
        if pretrained is not None:
            init_cfg = _pretrained(pretrained, init_cfg)
        block_init_cfg = None
        if init_cfg is None:
            init_cfg = [
                dict(type="Kaiming", layer="Conv2d"),
                dict(type="Constant", val=1, layer=["_BatchNorm", "GroupNorm"]),
            ]
            if zero_init_residual:
                block_init_cfg = architecture.block_init_cfg()
        super().__init__(time_steps, output, init_cfg)
        self.depth = depth
        self.deep_stem = deep_stem
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.out_indices = tuple(out_indices)
        self.compress_spikes = compress_spikes
        self.norm_cfg = dict(type="BN", requires_grad=True) if norm_cfg is None else dict(norm_cfg)
        if self.norm_cfg.get("eps") == 0:  # as in NAS-FCOS; PyTorch does not train with it
            self.norm_cfg["eps"] = 1e-12
        self.conv_cfg = conv_cfg
        self.neuron = DEFAULT_NEURON if neuron is None else neuron

        inplanes = base_channels if stem_channels is None else stem_channels
        self._make_stem(in_channels, inplanes)
        self.res_layers: list[str] = []
        for stage in range(num_stages):
            self.res_layers.append(f"layer{stage + 1}")
            blocks = self._make_stage(architecture, stage, inplanes, block_init_cfg)
            self.add_module(self.res_layers[-1], blocks)
            inplanes = architecture.width(stage)
        self.feat_dim = inplanes
        if compress_spikes:
            summands = max(architecture.block_counts[:num_stages]) + 1
            check_spikes(self.neurons, summands if architecture.connect == "ADD" else 1)
        _check_connection(self.neurons, architecture.connect)
        guard_operators(self)
        self._lay_out()
        self._freeze_stages()

    @property
    def norm1(self) -> nn.Module:
        return getattr(self, self.norm1_name)

    def _conv(self, inplanes: int, planes: int, size: int, stride: int) -> nn.Module:
        return build_conv_layer(
            self.conv_cfg, inplanes, planes, size, stride=stride, padding=size // 2, bias=False
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
                layers.append(SpikingNeuron(self.neuron, self.clock, c_out))
            self.stem = nn.Sequential(*layers)
        else:
            self.conv1 = self._conv(in_channels, channels, 7, 2)
            self.norm1_name, norm1 = build_norm_layer(self.norm_cfg, channels, postfix=1)
            self.add_module(self.norm1_name, norm1)
            self.sn1 = SpikingNeuron(self.neuron, self.clock, channels)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def _make_stage(
        self, architecture: Architecture, stage: int, inplanes: int, init_cfg: Config | None
    ) -> Sequential:
        """Builds the blocks of a stage, each with ``init_cfg``."""
        shared = architecture.block_arguments(stage)
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
                    inplanes,
                    architecture.planes(stage),
                    stride=stride,
                    dilation=dilation,
                    norm_cfg=self.norm_cfg,
                    neuron=self.neuron,
                    clock=self.clock,
                    downsample=downsample,
                    drop_path_rate=rate,
                    init_cfg=init_cfg,
                    **shared,
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

    def _stem_modules(self) -> list[nn.Module]:
        return list(self.stem) if self.deep_stem else [self.conv1, self.norm1, self.sn1]

    def sequences(self, x: Tensor) -> tuple[Tensor, ...]:
        stem, frames = self._stem_modules(), x.dim() == 5
        for conv, norm, fire in zip(stem[::3], stem[1::3], stem[2::3], strict=True):
            first = conv is stem[0]
            x = x.flatten(0, -4)
            if first:
                x = laid_out(x)  # all later tensors keep this layout
            x = SavedInput(x, self.compress_spikes and not first).into(conv)
            if first and not frames:  # the same at every t, computed once
                x = repeat_in_time(x, self.clock.time_steps)
            x = fire(x, norm)
        x = SavedInput(x, self.compress_spikes).into(self.maxpool)
        outs = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen = self._stem_modules()
        frozen += [getattr(self, name) for name in self.res_layers[: self.frozen_stages]]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> "ResidualBackbone":
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _check_connection(neurons: list[SpikingNeuron], kind: str) -> None:
    """Raises UserError if the SEW function g multiplies outputs that are not binary."""
    most = max((neuron.slots for neuron in neurons), default=1)
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
