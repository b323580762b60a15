"""mmseg's decode heads, spiking."""

from mmseg.models.decode_heads import ASPPHead, FCNHead, PSPHead, UPerHead

from .declared import declare
from .part import SpikingDecodeHead

BN = dict(type="BN")

SpikingFCNHead = declare(FCNHead, SpikingDecodeHead, norm_cfg=BN)
SpikingPSPHead = declare(PSPHead, SpikingDecodeHead, norm_cfg=BN)
SpikingASPPHead = declare(ASPPHead, SpikingDecodeHead, norm_cfg=BN)
SpikingUPerHead = declare(UPerHead, SpikingDecodeHead, norm_cfg=BN)
