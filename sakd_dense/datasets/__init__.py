"""Readers of small real sets, and the generated digit scenes.

mmdet must be installed; sets for mmseg and mmpretrain are registered where those are, too.
"""

from importlib.util import find_spec

from .digits.detection import DigitScenesDataset, ensure_digit_scenes
from .digits.scenes import SceneParameters
from .voc import BCCDDataset, StrictVOCDataset

__all__ = [
    "BCCDDataset",
    "DigitScenesDataset",
    "SceneParameters",
    "StrictVOCDataset",
    "ensure_digit_scenes",
]

if find_spec("mmseg") is not None:
    from .camvid import CamVidDataset
    from .digits.segmentation import DigitScenesSegDataset

    __all__ += ["CamVidDataset", "DigitScenesSegDataset"]
if find_spec("mmpretrain") is not None:
    from .digits.classification import DigitsDataset
    from .digits.events import DigitEventsDataset, EventParameters
    from .event_frames import EventDataPreprocessor, LoadEventFrames

    __all__ += [
        "DigitEventsDataset",
        "DigitsDataset",
        "EventDataPreprocessor",
        "EventParameters",
        "LoadEventFrames",
    ]
