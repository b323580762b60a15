"""Prophesee's boxes: a structured array in ``*_bbox.npy``, sorted by time stamp.

Fields: ``t`` (microseconds; ``ts`` in older files), ``x``, ``y`` (upper left corner), ``w``, ``h``
in pixels, and ``class_id``. The fields ``track_id`` and ``class_confidence`` are not read.
https://github.com/prophesee-ai/prophesee-automotive-dataset-toolbox
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import UserError
from ...runtime.files import replacing
from .arrays import load_array

#: Structure of the arrays that the toolbox writes.
BOX = np.dtype(
    [
        ("t", "<i8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"),
        ("class_id", "<u4"), ("track_id", "<u4"), ("class_confidence", "<f4"),
    ]
)  # fmt: skip
_NEEDED = ("x", "y", "w", "h", "class_id")


def read_boxes(path: str | Path) -> dict[int, np.ndarray]:
    """Reads the boxes of each time stamp, in the order of time.

    Returns:
        The boxes ``[N]`` of each time stamp, in the file's own structure, by its microseconds.

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file contains something else, or is truncated.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import BOX, read_boxes, write_boxes
        >>> boxes = np.zeros(3, BOX)
        >>> boxes["t"] = 50_000, 100_000, 100_000
        >>> write_boxes("train_bbox.npy", boxes)
        >>> {t: len(found) for t, found in read_boxes("train_bbox.npy").items()}
        {50000: 1, 100000: 2}
    """
    boxes: Any = load_array(path)
    names = getattr(boxes, "dtype", np.dtype("u1")).names or ()
    time = next((name for name in ("t", "ts") if name in names), None)
    lacking = [name for name in _NEEDED if name not in names] + ([] if time else ["t"])
    if lacking:
        raise UserError(
            f"{path} is not a box file of Prophesee's: it lacks the fields {', '.join(lacking)} "
            f"(it has {names or 'none'})"
        )
    stamps, where = np.unique(boxes[time], return_inverse=True)
    order = np.argsort(where, kind="stable")
    parts = np.split(boxes[order], np.searchsorted(where[order], np.arange(1, len(stamps))))
    return {int(t): part for t, part in zip(stamps, parts, strict=False)}


def corners(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns x1, y1, x2, y2, ``[N, 4]`` float64, clipped at the border of the sensor.

    Args:
        boxes: structured array with x, y, w and h.
        size: height and width of the sensor.
    """
    height, width = size
    x, y, w, h = (boxes[name].astype(np.float64) for name in "xywh")
    found = np.stack([x, y, x + w, y + h], axis=-1)
    return np.clip(found, 0, (width, height, width, height))


def write_boxes(path: str | Path, boxes: np.ndarray) -> None:
    """Writes boxes of :data:`BOX` as ``*_bbox.npy``.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import BOX, write_boxes
        >>> write_boxes("train_bbox.npy", np.zeros(3, BOX))
        >>> np.load("train_bbox.npy").shape
        (3,)
    """
    with replacing(path) as temporary:
        np.save(temporary, np.asarray(boxes, BOX))


__all__ = ["BOX", "corners", "read_boxes", "write_boxes"]
