"""A spiking residual network as a drop-in for the ResNets of mmdet, mmseg and mmpretrain."""

import warnings
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import Sequential
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..neurons.layer import DEFAULT_NEURON, SpikingNeuron, repeat_in_time
from .arguments import ARCHITECTURES, check_arguments, plugins_of_stage
from .base import SpikingBackbone
from .memory_format import guard_operators, laid_out
from .saved_spikes import Kept, check_spikes

Config = dict[str, Any]


class ResidualBackbone(SpikingBackbone):
    """What SEW-ResNet and Spiking-ResNet share: upstream's arguments and parameter names.

    Every argument of mmdet's and mmseg's ``ResNet`` and ``ResNeXt`` means what it means there;
    changing ``type`` alone turns an upstream config spiking. One default differs from mmdet's:
    ``norm_eval=False``, as in mmseg (an ANN's BatchNorm statistics do not fit spikes).

    What comes before the first neuron (``conv1``/``bn1``, or the first two layers of a deep stem)
    runs once on images, not T times; everything after it sees ``T*B``.

    Args:
        depth: 18, 34, 50, 101 or 152.
        drop_path_rate: stochastic depth, from 0 at the first block to this at the last: in training
            an image loses a block's branch, at every time step, or has it scaled up, as upstream.
        expansion: mmpretrain's, of depths 50 and more; None: 4.
        time_steps: T, see :class:`SpikingBackbone`.
        neuron: a SpikingJelly neuron by name or ``dict(type='LIFNode', tau=2.0, ...)``, see
            :func:`sakd_dense.neurons.layer.build_node`; None: ``DEFAULT_NEURON``.
        connect: one of ``connects``, see :mod:`sakd_dense.backbones.blocks`; None: the first.
        output: ``'rate'``: ``[B, C, H, W]``; ``'sequence'``: ``[T, B, C, H, W]``.
        compress_spikes: keep spikes for backward as bytes (:mod:`.memory`): less memory for a
            little time; goes with ``with_cp``, which saves more for more.

    Raises:
        UserError: for an argument outside its range.
    """

    connects: tuple[str, ...]

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
        connect = self.connects[0] if connect is None else connect
        given = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        check_arguments(connects=self.connects, **given)
        if pretrained is not None:
            warnings.warn(
                "pretrained is deprecated; take init_cfg", DeprecationWarning, stacklevel=2
            )
            init_cfg = dict(type="Pretrained", checkpoint=pretrained)
        block, counts = ARCHITECTURES[depth]
        expansion = block.expansion if expansion is None else expansion
        drop_rates = [drop_path_rate * i / (sum(counts) - 1) for i in range(sum(counts))]
        block_init_cfg = None
        if init_cfg is None:
            init_cfg = [
                dict(type="Kaiming", layer="Conv2d"),
                dict(type="Constant", val=1, layer=["_BatchNorm", "GroupNorm"]),
            ]
            if zero_init_residual:
                block_init_cfg = block.identity_init(connect)
        super().__init__(time_steps, output, init_cfg)
        self.depth = depth
        self.deep_stem = deep_stem
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.out_indices = tuple(out_indices)
        self.compress_spikes = compress_spikes
        self.norm_cfg = dict(type="BN", requires_grad=True) if norm_cfg is None else dict(norm_cfg)
        if self.norm_cfg.get("eps") == 0:  # NAS-FCOS: PyTorch refuses to train with it
            self.norm_cfg["eps"] = 1e-12
        self.conv_cfg = conv_cfg
        self.neuron = DEFAULT_NEURON if neuron is None else neuron

        inplanes = base_channels if stem_channels is None else stem_channels
        self._make_stem(in_channels, inplanes)
        self.res_layers: list[str] = []
        for i, count in enumerate(counts[:num_stages]):
            planes = base_channels * 2**i
            width = planes * expansion
            first, rest = dilations[i], dilations[i]
            if contract_dilation and first > 1:
                first //= 2
            per_block = [first] + [rest] * (count - 1)
            if multi_grid is not None and i == num_stages - 1:
                per_block = list(multi_grid)
            blocks = []
            for j, dilation in enumerate(per_block):
                stride = strides[i] if j == 0 else 1
                downsample = None
                if j == 0 and (stride != 1 or inplanes != width):
                    downsample = self._make_downsample(inplanes, width, stride, avg_down)
                blocks.append(
                    block(
                        inplanes,
                        planes,
                        stride=stride,
                        dilation=dilation,
                        style=style,
                        groups=groups,
                        base_width=base_width,
                        base_channels=base_channels,
                        expansion=expansion,
                        conv_cfg=conv_cfg,
                        norm_cfg=self.norm_cfg,
                        neuron=self.neuron,
                        clock=self.clock,
                        connect=connect,
                        downsample=downsample,
                        with_cp=with_cp,
                        compress_spikes=compress_spikes,
                        drop_path_rate=drop_rates.pop(0),
                        dcn=dcn if stage_with_dcn[i] else None,
                        plugins=plugins_of_stage(plugins, i),
                        init_cfg=block_init_cfg,
                    )
                )
                inplanes = width
            self.res_layers.append(f"layer{i + 1}")
            self.add_module(self.res_layers[-1], Sequential(*blocks))
        self.feat_dim = inplanes
        if compress_spikes:
            check_spikes(self.neurons)
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
                layers.append(SpikingNeuron(self.neuron, self.clock))
            self.stem = nn.Sequential(*layers)
        else:
            self.conv1 = self._conv(in_channels, channels, 7, 2)
            self.norm1_name, norm1 = build_norm_layer(self.norm_cfg, channels, postfix=1)
            self.add_module(self.norm1_name, norm1)
            self.sn1 = SpikingNeuron(self.neuron, self.clock)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

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
                x = laid_out(x)  # all that follows is laid out like it
            x = Kept(x, self.compress_spikes and not first).into(conv)
            if first and not frames:  # seen at every t, computed once
                x = repeat_in_time(x, self.clock.time_steps)
            x = fire(x, norm)
        x = Kept(x, self.compress_spikes).into(self.maxpool)
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
