"""Spiking twins of mmdet's necks and one-stage heads."""

from typing import Any

from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import (
    ATSSHead,
    FCOSHead,
    GFLHead,
    RetinaSepBNHead,
)
from mmdet.models.necks import FPN, HRFPN, PAFPN, ChannelMapper
from mmengine.registry import MODELS
from torch import nn

from .declared import declare_part
from .part import SpikingDenseHead, SpikingNeck

BN = dict(type="BN")
RELU = dict(type="ReLU")

# Upstream's FPNs have no activation unless act_cfg is set.
SpikingFPN = declare_part(FPN, SpikingNeck, norm_cfg=BN, act_cfg=RELU)
SpikingPAFPN = declare_part(PAFPN, SpikingNeck, norm_cfg=BN, act_cfg=RELU)


@MODELS.register_module()
class NormedHRFPN(HRFPN):
    """``HRFPN`` with a norm and an activation in every convolution; upstream's has neither.

    All other arguments are upstream's.

    Args:
        norm_cfg: config of the norms. None (default) means BatchNorm.
        act_cfg: config of the activations. None (default) means ReLU.

    Example:
        >>> from sakd_dense.parts import NormedHRFPN
        >>> NormedHRFPN([8, 16], 8, num_outs=3).reduction_conv.with_activation
        True
    """

    def __init__(
        self,
        *args: Any,
        norm_cfg: dict[str, Any] | None = None,
        act_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        layers = dict(norm_cfg=norm_cfg or BN, act_cfg=act_cfg or RELU)
        self.reduction_conv: Any = _like(self.get_submodule("reduction_conv"), **layers)
        convs = self.get_submodule("fpn_convs").children()
        self.fpn_convs: Any = nn.ModuleList(_like(conv, **layers) for conv in convs)


def _like(conv: Any, **layers: Any) -> ConvModule:
    old = conv.conv
    size, stride = old.kernel_size[0], old.stride[0]
    return ConvModule(
        old.in_channels, old.out_channels, size, stride=stride, padding=size // 2, **layers
    )


SpikingHRFPN = declare_part(NormedHRFPN, SpikingNeck, name="SpikingHRFPN")
SpikingChannelMapper = declare_part(ChannelMapper, SpikingNeck, norm_cfg=BN)
# Neurons need currents of a known scale, which differs between levels that share a convolution.
# Each level therefore has its own BatchNorm statistics (num_ins of them).
SpikingRetinaHead = declare_part(
    RetinaSepBNHead, SpikingDenseHead, name="SpikingRetinaHead", norm_cfg=BN
)
SpikingATSSHead = declare_part(ATSSHead, SpikingDenseHead)
SpikingFCOSHead = declare_part(FCOSHead, SpikingDenseHead)
SpikingGFLHead = declare_part(GFLHead, SpikingDenseHead)


__all__ = [
    "NormedHRFPN",
    "SpikingATSSHead",
    "SpikingChannelMapper",
    "SpikingFCOSHead",
    "SpikingFPN",
    "SpikingGFLHead",
    "SpikingHRFPN",
    "SpikingPAFPN",
    "SpikingRetinaHead",
]
