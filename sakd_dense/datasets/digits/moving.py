"""Event-camera recordings of several moving digits, drawn from a random generator.

A pixel sends an event each time its brightness has changed by a threshold since its last event
(Lichtsteiner et al., 2008). All arithmetic uses integers, as for the scenes.
"""

from dataclasses import dataclass

import numpy as np

from ...runtime.errors import UserError
from ..events.stream import Events
from .generated import check_integers
from .scenes import ink_of

VERSION = 1  # of the recording: raise it when the same seed would give other events
_INK = 96  # of 255: least ink of a pixel that belongs to the digit
_MOMENT = 2000  # microseconds between two samples of the brightness
_PART = 1 << 10  # positions are counted in these parts of a pixel
_SEEN = 30  # per cent of a digit that must be visible for it to get a box


@dataclass(frozen=True)
class MovingParameters:
    """Parameters of a set of recordings; the same values give the same files.

    Attributes:
        size: width and height of the sensor, in pixels.
        counts: number of recordings in train, val and test.
        stamps: number of time stamps with boxes in a recording.
        period: microseconds before the first time stamp, and between two of them; a multiple of
            2000.
        digits: smallest and largest number of digits in a recording.
        digit_size: smallest and largest height of a digit, in pixels.
        speed: slowest and fastest motion along an axis, in pixels per period.
        threshold: change of brightness that triggers an event, of 255.
        noise: number of noise events per pixel and second.
        seed: seed of all random numbers.

    Example:
        >>> from sakd_dense.datasets import MovingParameters
        >>> MovingParameters(counts=(8, 2, 2)).size
        (64, 64)
    """

    size: tuple[int, int] = (64, 64)
    counts: tuple[int, int, int] = (1000, 50, 150)
    stamps: int = 2
    period: int = 50_000
    digits: tuple[int, int] = (1, 2)
    digit_size: tuple[int, int] = (20, 32)
    speed: tuple[int, int] = (1, 4)
    threshold: int = 60
    noise: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        pairs = dict.fromkeys(("size", "digits", "digit_size", "speed"), 2)
        check_integers(
            self,
            {**pairs, "counts": 3},
            ("digits", "digit_size", "speed"),
            dict(
                stamps=(1, 1000),
                period=(_MOMENT, 10**7),
                threshold=(1, 255),
                noise=(0, 1000),
                seed=(0, 2**32),
            ),
        )
        if self.period % _MOMENT:
            raise UserError(f"period={self.period}: must be a multiple of {_MOMENT} microseconds")


@dataclass
class Recording:
    """Events of a recording, with label maps and boxes at time stamps.

    Attributes:
        events: the events, sorted by time.
        digits: the digits, in the order in which they were drawn.
        stamps: time stamps in microseconds.
        labels: label map ``[H, W]`` uint8 for each time stamp, 0 for the background and digit + 1
            elsewhere.
        boxes: ``[N, 6]`` int64 for each time stamp: x, y, w, h, digit, and the index of the digit
            in the recording.
    """

    events: Events
    digits: list[int]
    stamps: list[int]
    labels: list[np.ndarray]
    boxes: list[np.ndarray]


class _Digit:
    """A digit that moves along a line and bounces off the border."""

    def __init__(
        self, rng: np.random.Generator, ink: np.ndarray, parameters: MovingParameters
    ) -> None:
        self.ink = ink
        self.tone = int(rng.choice([-1, 1])) * int(rng.integers(120, 256))
        width, height = parameters.size
        self.margin = np.array([height - ink.shape[0], width - ink.shape[1]]) * _PART
        self.place = np.array([int(rng.integers(0, m + 1)) for m in self.margin])
        low, high = (s * _PART * _MOMENT // parameters.period for s in parameters.speed)
        self.pace = rng.integers(low, high + 1, size=2) * rng.choice([-1, 1], size=2)

    def move(self) -> None:
        self.place = self.place + self.pace
        outside = (self.place < 0) | (self.place > self.margin)
        self.pace = np.where(outside, -self.pace, self.pace)
        self.place = np.clip(self.place, 0, self.margin)

    @property
    def part(self) -> tuple[slice, slice]:
        y, x = self.place // _PART
        return slice(y, y + self.ink.shape[0]), slice(x, x + self.ink.shape[1])


def record_scene(
    rng: np.random.Generator, scans: np.ndarray, targets: np.ndarray, parameters: MovingParameters
) -> Recording:
    """Records one scene of moving digits.

    Args:
        rng: the only source of randomness.
        scans: ``[N, 8, 8]``, ink from 0 to 16.
        targets: ``[N]``, the digit of each scan.
        parameters: see :class:`MovingParameters`.
    """
    chosen = rng.integers(len(scans), size=rng.integers(*np.add(parameters.digits, (0, 1))))
    digits = [_Digit(rng, ink_of(rng, scans[i], parameters.digit_size), parameters) for i in chosen]
    names = [int(targets[i]) for i in chosen]
    stamps = [parameters.period * (k + 1) for k in range(parameters.stamps)]
    labels, boxes, parts = [], [], []
    seen = _brightness(digits, parameters)
    for moment in range(1, stamps[-1] // _MOMENT + 1):
        for digit in digits:
            digit.move()
        change = _brightness(digits, parameters) - seen
        events = np.abs(change) // parameters.threshold * np.sign(change)
        seen = seen + events * parameters.threshold
        parts.append(_events(rng, events, (moment - 1) * _MOMENT))
        if moment * _MOMENT in stamps:
            label, found = _annotations(digits, names, parameters)
            labels.append(label)
            boxes.append(found)
    parts.append(_noise(rng, stamps[-1], parameters))
    return Recording(Events.joined(parts).in_order(), names, stamps, labels, boxes)


def _brightness(digits: list[_Digit], parameters: MovingParameters) -> np.ndarray:
    """Returns the brightness ``[H, W]``: 0 for the background, later digits on top."""
    width, height = parameters.size
    scene = np.zeros((height, width), dtype=np.int64)
    for digit in digits:
        part = scene[digit.part]
        part += (digit.tone - part) * digit.ink // 255
    return scene


def _events(rng: np.random.Generator, counts: np.ndarray, begin: int) -> Events:
    """Converts ``counts`` ``[H, W]`` (below 0: darker) to events at random times of the moment."""
    rows, columns = np.nonzero(counts)
    change = counts[rows, columns]
    y, x, p = (np.repeat(v, np.abs(change)) for v in (rows, columns, change > 0))
    t = begin + rng.integers(0, _MOMENT, size=len(x))
    return Events(t, x.astype(np.int32), y.astype(np.int32), p.astype(np.uint8))


def _noise(rng: np.random.Generator, stop: int, parameters: MovingParameters) -> Events:
    width, height = parameters.size
    count = width * height * parameters.noise * stop // 10**6
    t, x, y, p = (rng.integers(0, most, size=count) for most in (stop, width, height, 2))
    return Events(t, x.astype(np.int32), y.astype(np.int32), p.astype(np.uint8))


def _annotations(
    digits: list[_Digit], names: list[int], parameters: MovingParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the label map, and the boxes around the visible part of each digit."""
    width, height = parameters.size
    owners = np.zeros((height, width), dtype=np.int64)  # 0, or 1 + the digit's index
    whole = []
    for i, digit in enumerate(digits, start=1):
        mask = digit.ink >= _INK
        owners[digit.part][mask] = i
        whole.append(int(mask.sum()))
    boxes = []
    for i, (name, area) in enumerate(zip(names, whole, strict=True), start=1):
        rows, columns = np.nonzero(owners == i)
        if len(rows) * 100 < _SEEN * area:
            continue
        x, y = int(columns.min()), int(rows.min())
        boxes.append([x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y, name, i - 1])
    labels = np.array([0, *(name + 1 for name in names)], dtype=np.uint8)[owners]
    return labels, np.array(boxes, dtype=np.int64).reshape(-1, 6)


__all__ = ["MovingParameters", "Recording", "record_scene"]
