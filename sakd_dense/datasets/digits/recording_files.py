"""Files of moving digits with boxes and label maps, generated on first use without download.

The files have the layout of Prophesee's sets, so that the reader of those sets also reads them:

    data/digit_event_scenes/stamp.json                    the parameters they were made from
                            train/00000_td.dat            events
                                  00000_bbox.npy          boxes at 2 time stamps
                                  labels/00000_50000.png  a label map for each time stamp
"""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..events.boxes import BOX, write_boxes
from ..events.dat import write_dat
from .generated import SPLITS, ensure, stamp
from .moving import VERSION, MovingParameters, Recording, record_scene
from .scans import load_scans


def ensure_event_scenes(data_root: str | Path, parameters: MovingParameters) -> None:
    """Generates the set unless ``data_root`` already contains it, see :func:`.generated.ensure`."""
    made = partial(_write_set, parameters=parameters)
    ensure(data_root, "moving digits with boxes", stamp(parameters, VERSION), made)


def _write_set(folder: Path, parameters: MovingParameters) -> None:
    """Writes the complete set into an existing, empty folder."""
    parts = load_scans(parameters.seed)
    for index, (split, count) in enumerate(zip(SPLITS, parameters.counts, strict=True)):
        (folder / split / "labels").mkdir(parents=True)
        for number in range(count):
            # One generator per recording: a set with more of them begins with the same ones.
            rng = np.random.default_rng([parameters.seed, index, number])
            recording = record_scene(rng, *parts[index], parameters)
            _write(folder / split, f"{number:05d}", recording, parameters.size)


def _write(folder: Path, name: str, recording: Recording, size: tuple[int, int]) -> None:
    width, height = size
    write_dat(folder / f"{name}_td.dat", recording.events, (height, width))
    boxes = np.zeros(sum(map(len, recording.boxes)), BOX)
    rows = np.concatenate(recording.boxes)
    for column, field in enumerate(("x", "y", "w", "h", "class_id", "track_id")):
        boxes[field] = rows[:, column]
    boxes["t"] = np.repeat(recording.stamps, [len(b) for b in recording.boxes])
    boxes["class_confidence"] = 1
    write_boxes(folder / f"{name}_bbox.npy", boxes)
    for t, labels in zip(recording.stamps, recording.labels, strict=True):
        Image.fromarray(labels).save(folder / "labels" / f"{name}_{t}.png")


__all__ = ["ensure_event_scenes"]
