"""Readers of small real sets, and the generated digit scenes."""

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
