"""Spiking twins of mmseg's decode heads."""

from mmseg.models.decode_heads import ASPPHead, FCNHead, PSPHead, UPerHead

from .declared import declare_part
from .part import SpikingDecodeHead

BN = dict(type="BN")

SpikingFCNHead = declare_part(FCNHead, SpikingDecodeHead, norm_cfg=BN)
SpikingPSPHead = declare_part(PSPHead, SpikingDecodeHead, norm_cfg=BN)
SpikingASPPHead = declare_part(ASPPHead, SpikingDecodeHead, norm_cfg=BN)
SpikingUPerHead = declare_part(UPerHead, SpikingDecodeHead, norm_cfg=BN)


__all__ = ["SpikingASPPHead", "SpikingFCNHead", "SpikingPSPHead", "SpikingUPerHead"]
