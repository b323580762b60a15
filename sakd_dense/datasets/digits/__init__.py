"""Generated sets of handwritten digits, and their readers: scenes, single digits, events."""

from importlib.util import find_spec

from .moving import MovingParameters
from .scene_files import ensure_digit_scenes
from .scenes import SceneParameters

__all__ = ["MovingParameters", "SceneParameters", "ensure_digit_scenes"]

if find_spec("mmdet") is not None:
    from .detection import DigitEventScenesDataset, DigitScenesDataset

    __all__ += ["DigitEventScenesDataset", "DigitScenesDataset"]
if find_spec("mmseg") is not None:
    from .event_segmentation import DigitEventScenesSegDataset
    from .segmentation import DigitScenesSegDataset

    __all__ += ["DigitEventScenesSegDataset", "DigitScenesSegDataset"]
if find_spec("mmpretrain") is not None:
    from .classification import DigitsDataset
    from .events import DigitEventsDataset

    __all__ += ["DigitEventsDataset", "DigitsDataset"]
