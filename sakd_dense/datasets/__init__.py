"""Data sets: small real sets, event-camera recordings and generated handwritten digits.

mmdet must be installed. Sets for mmseg and mmpretrain are registered if these packages are
installed, too.
"""

from importlib.util import find_spec

from . import digits, events
from .digits import *  # noqa: F403 - what its __all__ lists
from .events import *  # noqa: F403
from .voc import BCCDDataset, StrictVOCDataset

__all__ = ["BCCDDataset", "StrictVOCDataset", *digits.__all__, *events.__all__]

if find_spec("mmseg") is not None:
    from .camvid import CamVidDataset

    __all__ += ["CamVidDataset"]
if find_spec("mmpretrain") is not None:
    from .event_frames import EventDataPreprocessor, LoadEventFrames

    __all__ += ["EventDataPreprocessor", "LoadEventFrames"]
