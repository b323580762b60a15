"""mmdet's necks and one-stage heads, spiking."""

from mmdet.models.dense_heads import (
    ATSSHead,
    FCOSHead,
    GFLHead,
    RetinaSepBNHead,
)
from mmdet.models.necks import FPN, PAFPN, ChannelMapper

from .declared import declare_part
from .part import SpikingDenseHead, SpikingNeck

BN = dict(type="BN")
RELU = dict(type="ReLU")

# Upstream's FPNs have no activation unless they are told to.
SpikingFPN = declare_part(FPN, SpikingNeck, norm_cfg=BN, act_cfg=RELU)
SpikingPAFPN = declare_part(PAFPN, SpikingNeck, norm_cfg=BN, act_cfg=RELU)
SpikingChannelMapper = declare_part(ChannelMapper, SpikingNeck, norm_cfg=BN)
# Neurons want currents of a known scale, and levels that share a convolution differ in it: they
# have statistics of their own (num_ins of them).
SpikingRetinaHead = declare_part(
    RetinaSepBNHead, SpikingDenseHead, name="SpikingRetinaHead", norm_cfg=BN
)
SpikingATSSHead = declare_part(ATSSHead, SpikingDenseHead)
SpikingFCOSHead = declare_part(FCOSHead, SpikingDenseHead)
SpikingGFLHead = declare_part(GFLHead, SpikingDenseHead)


__all__ = [
    "SpikingATSSHead",
    "SpikingChannelMapper",
    "SpikingFCOSHead",
    "SpikingFPN",
    "SpikingGFLHead",
    "SpikingPAFPN",
    "SpikingRetinaHead",
]
