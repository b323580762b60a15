"""Readers of small real sets, and the generated digit scenes.

Each set is registered where the package that reads it (mmdet, mmseg, mmpretrain) is installed.
"""

from importlib.util import find_spec

from .digits import DigitScenesDataset, ensure_digit_scenes
from .scenes import SceneParameters
from .voc import BCCDDataset, StrictVOCDataset

__all__ = [
    "BCCDDataset",
    "DigitScenesDataset",
    "SceneParameters",
    "StrictVOCDataset",
    "ensure_digit_scenes",
]

if find_spec("mmseg") is not None:
    from .segmentation import CamVidDataset, DigitScenesSegDataset

    __all__ += ["CamVidDataset", "DigitScenesSegDataset"]
if find_spec("mmpretrain") is not None:
    from .classification import DigitsDataset

    __all__ += ["DigitsDataset"]
