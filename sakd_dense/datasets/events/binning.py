"""Conversion of the events of a window to frames: counts in T bins and two polarities.

Bin t of T contains the events of its share of the window. The first t bins of a sample are
therefore what a camera has sent by then: a prefix, after which a spiking backbone can be read.
"""

import numpy as np

from ...runtime.errors import UserError
from .stream import Events

BINS = ("time", "number")
POLARITIES = 2


def count_events(
    events: Events, steps: int, size: tuple[int, int], window: tuple[int, int] | None = None
) -> np.ndarray:
    """Returns the counts of events, ``[T, 2, H, W]`` float32, by bin, polarity and pixel.

    The first polarity is brighter, which images show in red.

    Args:
        events: events in the order of time, all within ``size`` (and ``window``).
        steps: number of bins T.
        size: height and width of the sensor.
        window: start and stop in microseconds, for bins of equal duration. None (default): bins of
            equal numbers of events; if T does not divide the number, some bins have one fewer.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import Events, count_events
        >>> t, x, y, p = np.array([[10, 20, 90], [3, 3, 4], [0, 0, 1], [1, 1, 0]])
        >>> frames = count_events(Events(t, x, y, p.astype(np.uint8)), 2, (4, 6), window=(0, 100))
        >>> frames.shape, frames[0, 0, 0, 3].item(), frames[1, 1, 1, 4].item()
        ((2, 2, 4, 6), 2.0, 1.0)
    """
    height, width = size
    if window is None:
        bins = np.arange(len(events)) * steps // max(len(events), 1)
    else:
        start, stop = window
        bins = (events.t - start) * steps // (stop - start)
    index = ((bins * POLARITIES + (1 - events.p)) * height + events.y) * width + events.x
    counts = np.bincount(index, minlength=steps * POLARITIES * height * width)
    return counts.astype(np.float32).reshape(steps, POLARITIES, height, width)


def inside(events: Events, size: tuple[int, int]) -> np.ndarray:
    """Returns a mask ``[N]`` bool of the events within the sensor."""
    height, width = size
    return (events.x >= 0) & (events.x < width) & (events.y >= 0) & (events.y < height)


def check_inside(events: Events, size: tuple[int, int], path: str, drop: bool) -> Events:
    """Returns the events within the sensor.

    Raises:
        UserError: an event is outside the sensor and ``drop`` is False.
    """
    within = inside(events, size)
    if within.all():
        return events
    if not drop:
        first = events[int(np.flatnonzero(~within)[0])]
        raise UserError(
            f"{path}: the event at t = {first.t} us is at x = {first.x}, y = {first.y}, outside "
            f"the sensor's {size[1]}x{size[0]} pixels: correct size=(height, width), or drop such "
            "events (LoadEvents(outside='drop'))"
        )
    return events[within]


__all__ = ["BINS", "POLARITIES", "check_inside", "count_events", "inside"]
