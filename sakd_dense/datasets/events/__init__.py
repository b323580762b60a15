"""Event-camera recordings for dense tasks: readers by window, counting into frames, and batches."""

from importlib.util import find_spec

from .binning import count_events
from .boxes import BOX, read_boxes, write_boxes
from .dat import DatFile, sort_dat, write_dat
from .frames import LoadEventFrames
from .loading import LoadEvents
from .opening import open_events
from .packing import PackEventInputs
from .raw import RawFile
from .rules import BoxRules
from .stream import EventFile, Events

__all__ = [
    "BOX",
    "BoxRules",
    "DatFile",
    "EventFile",
    "Events",
    "LoadEventFrames",
    "LoadEvents",
    "PackEventInputs",
    "RawFile",
    "count_events",
    "open_events",
    "read_boxes",
    "sort_dat",
    "write_boxes",
    "write_dat",
]

if find_spec("mmdet") is not None:
    from .metric import EventCocoMetric
    from .pedro import PEDRoDataset
    from .preprocessor import EventDetDataPreprocessor
    from .prophesee import Gen1Dataset, OneMpxDataset, PropheseeDataset
    from .resizing import ResizeEvents

    __all__ += ["EventDetDataPreprocessor", "Gen1Dataset", "OneMpxDataset", "PEDRoDataset"]
    __all__ += ["EventCocoMetric", "PropheseeDataset", "ResizeEvents"]
if find_spec("mmseg") is not None:
    from .segmentation import EventSegDataPreprocessor

    __all__ += ["EventSegDataPreprocessor"]
if find_spec("mmpretrain") is not None:
    from .classification import EventDataPreprocessor

    __all__ += ["EventDataPreprocessor"]
