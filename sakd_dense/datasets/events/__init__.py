"""Event-camera recordings for dense tasks: readers by window, counting into frames, and batches."""

from importlib.util import find_spec

from .binning import count_events
from .boxes import BOX, read_boxes, write_boxes
from .dat import DatFile, sort_dat, write_dat
from .loading import LoadEvents
from .metric import EventCocoMetric
from .opening import open_events
from .packing import PackEventInputs
from .pedro import PEDRoDataset
from .preprocessor import EventDetDataPreprocessor
from .prophesee import Gen1Dataset, OneMpxDataset, PropheseeDataset
from .raw import RawFile
from .resizing import ResizeEvents
from .rules import BoxRules
from .stream import EventFile, Events

__all__ = [
    "BOX",
    "BoxRules",
    "DatFile",
    "EventCocoMetric",
    "EventDetDataPreprocessor",
    "EventFile",
    "Events",
    "Gen1Dataset",
    "LoadEvents",
    "OneMpxDataset",
    "PEDRoDataset",
    "PackEventInputs",
    "PropheseeDataset",
    "RawFile",
    "ResizeEvents",
    "count_events",
    "open_events",
    "read_boxes",
    "sort_dat",
    "write_boxes",
    "write_dat",
]

if find_spec("mmseg") is not None:
    from .segmentation import EventSegDataPreprocessor

    __all__ += ["EventSegDataPreprocessor"]
