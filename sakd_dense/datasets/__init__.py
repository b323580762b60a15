"""Data sets: small real sets, event-camera recordings and generated handwritten digits.

Those of mmdet, mmseg and mmpretrain are registered where these packages are installed.
"""

from importlib.util import find_spec

from . import digits, events
from .digits import *  # noqa: F403 - what its __all__ lists
from .events import *  # noqa: F403

__all__ = [*digits.__all__, *events.__all__]

if find_spec("mmdet") is not None:
    from .voc import BCCDDataset, StrictVOCDataset

    __all__ += ["BCCDDataset", "StrictVOCDataset"]
if find_spec("mmseg") is not None:
    from .camvid import CamVidDataset

    __all__ += ["CamVidDataset"]
