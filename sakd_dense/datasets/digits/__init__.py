"""Generated sets of handwritten digits, and their readers: scenes, single digits, events."""

from importlib.util import find_spec

from .detection import DigitScenesDataset, ensure_digit_scenes
from .event_scenes import DigitEventScenesDataset
from .moving import MovingParameters
from .scenes import SceneParameters

__all__ = [
    "DigitEventScenesDataset",
    "DigitScenesDataset",
    "MovingParameters",
    "SceneParameters",
    "ensure_digit_scenes",
]

if find_spec("mmseg") is not None:
    from .event_segmentation import DigitEventScenesSegDataset
    from .segmentation import DigitScenesSegDataset

    __all__ += ["DigitEventScenesSegDataset", "DigitScenesSegDataset"]
if find_spec("mmpretrain") is not None:
    from .classification import DigitsDataset
    from .events import DigitEventsDataset, EventParameters

    __all__ += ["DigitEventsDataset", "DigitsDataset", "EventParameters"]
