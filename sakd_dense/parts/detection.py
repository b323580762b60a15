"""mmdet's necks and one-stage heads, spiking."""

from mmdet.models.dense_heads import (
    ATSSHead,
    FCOSHead,
    GFLHead,
    RetinaSepBNHead,
)
from mmdet.models.necks import FPN, PAFPN, ChannelMapper

from .declared import declare
from .part import SpikingDenseHead, SpikingNeck

BN = dict(type="BN")
RELU = dict(type="ReLU")

# Upstream's FPNs have no activation unless they are told to.
SpikingFPN = declare(FPN, SpikingNeck, norm_cfg=BN, act_cfg=RELU)
SpikingPAFPN = declare(PAFPN, SpikingNeck, norm_cfg=BN, act_cfg=RELU)
SpikingChannelMapper = declare(ChannelMapper, SpikingNeck, norm_cfg=BN)
# Neurons want currents of a known scale, and levels that share a convolution differ in it: they
# have statistics of their own (num_ins of them).
SpikingRetinaHead = declare(
    RetinaSepBNHead, SpikingDenseHead, name="SpikingRetinaHead", norm_cfg=BN
)
SpikingATSSHead = declare(ATSSHead, SpikingDenseHead)
SpikingFCOSHead = declare(FCOSHead, SpikingDenseHead)
SpikingGFLHead = declare(GFLHead, SpikingDenseHead)
