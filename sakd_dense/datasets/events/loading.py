"""Transform that loads the events before a time stamp as an image of T frames.

Until :class:`~sakd_dense.datasets.PackEventInputs`, a sample is an image ``[H, W, T*C]`` of counts.
The flips, crops and resizes of mmdet and mmseg thus treat frames, boxes, masks and label maps
alike, without any support for events.
"""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ...runtime.arguments import at_least
from ...runtime.errors import UserError
from .arrays import ArrayFile, load_array
from .binning import BINS, check_inside, count_events
from .frames import frames_of
from .opening import open_events
from .stream import EventFile

OUTSIDE = ("error", "drop")


@TRANSFORMS.register_module()
class LoadEvents(BaseTransform):
    """Transform that loads counts of the events before a time stamp as ``img``.

    ``img`` is ``[H, W, T*2]`` float32. The transform reads ``img_path`` (.dat, .raw, .npy, .npz),
    ``timestamp`` in microseconds, and ``height`` and ``width`` of the sensor if the data set
    provides them. An .npy or .npz holds one sample, and its end is the default of ``timestamp``.
    From an .npz with ``frames`` ``[T, 2, H, W]``, as SpikingJelly writes them, the transform loads
    the frames themselves; of the arguments, only ``time_steps`` (which must be their T) and
    ``cap`` apply. Bins are empty if a recording begins within the window, or if nothing moves.

    Args:
        time_steps: number of bins T.
        window: microseconds before the time stamp, which is itself excluded; at least
            ``time_steps``. None: all events before it.
        bins: ``'time'`` (default) for bins of equal duration, or ``'number'`` for bins of equal
            numbers of events.
        number: only with ``bins='number'``: number of last events before the time stamp to load,
            however long they took, instead of ``window``.
        cap: largest count of a pixel in a bin. None (default): no limit.
        size: height and width of the sensor. None (default): those of the data set, or else those
            of the file.
        outside: whether events outside the sensor raise an error (``'error'``, default) or are
            dropped (``'drop'``).

    Raises:
        MissingFileError: the file does not exist.
        UserError: an argument is invalid, the file cannot be read, the sensor's size or
            the time stamp of a recording is unknown, or events are outside the sensor or out of
            order (the message names the file and the time of the event).

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import LoadEvents
        >>> np.save("frame.npy", [[10, 3, 0, 1], [20, 3, 0, 1], [90, 4, 1, 0]])  # t, x, y, p
        >>> load = LoadEvents(time_steps=2, window=None, size=(4, 6))
        >>> load(dict(img_path="frame.npy"))["img"].shape
        (4, 6, 4)
    """

    def __init__(
        self,
        time_steps: int = 4,
        window: int | None = 50_000,
        bins: str = "time",
        number: int | None = None,
        cap: int | None = None,
        size: tuple[int, int] | None = None,
        outside: str = "error",
    ) -> None:
        for name, value, least in (("time_steps", time_steps, 1), ("window", window, time_steps)):
            if not (name == "window" and value is None):
                at_least(name, value, least)
        for name, value in (("number", number), ("cap", cap)):
            if value is not None:
                at_least(name, value)
        if bins not in BINS:
            raise UserError(f"bins={bins!r}: must be one of {BINS}")
        if outside not in OUTSIDE:
            raise UserError(f"outside={outside!r}: must be one of {OUTSIDE}")
        if number is not None and bins != "number":
            raise UserError(f"number={number} needs bins='number', but bins={bins!r}")
        self.time_steps, self.window, self.bins, self.number = time_steps, window, bins, number
        self.cap, self.size, self.outside = cap, size, outside

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results["img_path"]
        frames = _stored_frames(path)
        if frames is None:
            file = open_events(path)
            frames = self.frames(file, _stamp(results, file), self._size(results, file))
        elif len(frames) != self.time_steps:
            raise UserError(
                f"{path} has {len(frames)} frames, but time_steps={self.time_steps}: set "
                "time_steps of LoadEvents to that of the files, or write the files again"
            )
        if self.cap is not None:
            frames = np.minimum(frames, self.cap)
        height, width = frames.shape[-2:]
        # A view: packing a sample that no transform has changed copies nothing.
        results["img"] = frames.reshape(-1, height, width).transpose(1, 2, 0)
        results["img_shape"] = results["ori_shape"] = (height, width)
        results["time_steps"] = len(frames)
        return results

    def frames(self, file: EventFile, stamp: int, size: tuple[int, int]) -> np.ndarray:
        """Returns counts ``[T, 2, H, W]`` float32 of the events before ``stamp`` (microseconds)."""
        window = None
        if self.number is not None:
            events = file.before(stamp, self.number)
        else:
            start = file.begin if self.window is None else stamp - self.window
            events = file.window(start, stamp)
            window = (start, stamp) if self.bins == "time" else None
        events = check_inside(events, size, file.path, self.outside == "drop")
        return count_events(events, self.time_steps, size, window)

    def _size(self, results: dict[str, Any], file: EventFile) -> tuple[int, int]:
        height, width = results.get("height"), results.get("width")
        known = None if height is None or width is None else (height, width)
        size = self.size or known or file.size
        if size is None:
            raise UserError(
                f"neither {file.path} nor the data set gives the size of the sensor: set "
                "LoadEvents(size=(height, width))"
            )
        return int(size[0]), int(size[1])

    def __repr__(self) -> str:
        values = ("time_steps", "window", "bins", "number", "cap", "size", "outside")
        return f"LoadEvents({', '.join(f'{v}={getattr(self, v)!r}' for v in values)})"


def _stored_frames(path: str) -> np.ndarray | None:
    """Returns the frames ``[T, 2, H, W]`` float32 of an .npz with frames for events, else None."""
    if not str(path).lower().endswith(".npz"):
        return None
    loaded = load_array(path)
    return None if isinstance(loaded, np.ndarray) else frames_of(path, loaded)


def _stamp(results: dict[str, Any], file: EventFile) -> int:
    if results.get("timestamp") is not None:
        return int(results["timestamp"])
    if isinstance(file, ArrayFile):  # such a file ends at the time of its boxes
        return file.end
    raise UserError(
        f"{file.path}: a recording needs a time stamp in microseconds: add 'timestamp' to the data "
        "set's samples, or pass --timestamp to tools/image_demo.py"
    )


__all__ = ["LoadEvents"]
