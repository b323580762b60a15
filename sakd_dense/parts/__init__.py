"""Spiking necks and heads."""

from importlib.util import find_spec

from .declared import declare_part
from .part import SpikingDecodeHead, SpikingDenseHead, SpikingNeck, SpikingPart

__all__ = ["SpikingDecodeHead", "SpikingDenseHead", "SpikingNeck", "SpikingPart", "declare_part"]

if find_spec("mmdet") is not None:
    from .detection import NormedHRFPN

    __all__ += ["NormedHRFPN"]
if find_spec("mmseg") is not None:
    from . import segmentation  # noqa: F401
