"""Readers of small real sets and of event cameras, and the generated digit scenes.

mmdet must be installed; sets for mmseg and mmpretrain are registered where those are, too.
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
