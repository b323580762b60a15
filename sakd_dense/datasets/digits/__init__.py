"""Generated sets of handwritten digits, and their readers: scenes, single digits, events."""

from importlib.util import find_spec

from .detection import DigitScenesDataset, ensure_digit_scenes
from .scenes import SceneParameters

__all__ = ["DigitScenesDataset", "SceneParameters", "ensure_digit_scenes"]

if find_spec("mmseg") is not None:
    from .segmentation import DigitScenesSegDataset

    __all__ += ["DigitScenesSegDataset"]
if find_spec("mmpretrain") is not None:
    from .classification import DigitsDataset
    from .events import DigitEventsDataset, EventParameters

    __all__ += ["DigitEventsDataset", "DigitsDataset", "EventParameters"]
