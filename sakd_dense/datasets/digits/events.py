"""Event-camera recordings of moving digits, generated on first use without download.

    data/digit_events/stamp.json                 the parameters the files were made from
                      train/3/00000.npz          frames [T, 2, H, W]: brighter, darker

A pixel sends an event each time its brightness has changed by a threshold since its last event
(Lichtsteiner et al., 2008). A frame counts the events of its share of the recording.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS
from mmpretrain.datasets import CustomDataset

from ...runtime.errors import UserError
from .generated import ensure, stamp
from .scans import load_scans
from .scenes import CLASSES, SPLITS, ink_of

VERSION = 1  # of the recording: raise it when the same seed would give other events
_MOMENTS = 4  # samples of the brightness in a frame


@dataclass(frozen=True)
class EventParameters:
    """Parameters of a generated set; the same values give the same files.

    Attributes:
        size: height and width of a frame, in pixels.
        counts: number of recordings in train, val and test.
        steps: number of frames in a recording, T.
        digit_size: smallest and largest height of a digit, in pixels.
        speed: fastest motion of a digit along an axis, in pixels per frame.
        threshold: change of brightness that triggers an event, of 255.
        noise: probability of a noise event per pixel, polarity and frame, in per mille.
        seed: seed of all random numbers.

    Example:
        >>> from sakd_dense.datasets import EventParameters
        >>> EventParameters(counts=(8, 2, 2)).steps
        8
    """

    size: int = 32
    counts: tuple[int, int, int] = (3000, 500, 1000)
    steps: int = 8
    digit_size: tuple[int, int] = (14, 24)
    speed: int = 3
    threshold: int = 40
    noise: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, length in (("counts", 3), ("digit_size", 2)):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            if len(value) != length or not all(isinstance(v, int) and v >= 1 for v in value):
                raise UserError(f"{name}={value!r}: must be {length} integers of at least 1")
        low, high = self.digit_size
        if not 8 <= low <= high <= self.size:
            raise UserError(f"digit_size={(low, high)}: must be from 8 pixels to size={self.size}")
        for name, most in (("steps", 1000), ("speed", self.size), ("threshold", 255)):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise UserError(f"{name}={value!r}: must be an integer from 1 to {most}")
        if not isinstance(self.noise, int) or not 0 <= self.noise <= 1000:
            raise UserError(f"noise={self.noise!r}: must be an integer from 0 to 1000")


@DATASETS.register_module()
class DigitEventsDataset(CustomDataset):
    """Recordings of one moving digit each in ten classes, read with :class:`LoadEventFrames`.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use.
        events: values of :class:`EventParameters` that replace its defaults.
        kwargs: arguments of ``mmpretrain.datasets.CustomDataset``.

    Example:
        >>> from sakd_dense.datasets import DigitEventsDataset
        >>> len(DigitEventsDataset("val", "events", events=dict(counts=(2, 3, 2))))
        3
    """

    METAINFO = {"classes": CLASSES}

    def __init__(
        self,
        split: str = "train",
        data_root: str = "data/digit_events",
        events: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise UserError(f"split={split!r}: must be one of {SPLITS}")
        self.parameters = EventParameters(**(events or {}))
        super().__init__(
            data_root=data_root, data_prefix=split, extensions=(".npz",), with_label=True, **kwargs
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        made = partial(write, parameters=self.parameters)
        ensure(self.data_root, "digit events", stamp(self.parameters, VERSION), made)
        return super().load_data_list()


def write(folder: Path, parameters: EventParameters) -> None:
    """Writes the complete set into an empty folder."""
    parts = load_scans(parameters.seed)
    for index, (split, count) in enumerate(zip(SPLITS, parameters.counts, strict=True)):
        scans, targets = parts[index]
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
        for number in range(count):
            # One generator per recording: a set with more of them begins with the same ones.
            rng = np.random.default_rng([parameters.seed, index, number])
            chosen = int(rng.integers(len(scans)))
            frames = record(rng, ink_of(rng, scans[chosen], parameters.digit_size), parameters)
            file = folder / split / CLASSES[targets[chosen]] / f"{number:05d}.npz"
            np.savez_compressed(file, frames=frames)


def record(rng: np.random.Generator, ink: np.ndarray, parameters: EventParameters) -> np.ndarray:
    """Returns frames ``[T, 2, H, W]`` uint8 of a digit that moves and bounces off the border.

    Args:
        rng: the only source of randomness.
        ink: opacity ``[h, w]`` of the digit, 0 to 255.
        parameters: see :class:`EventParameters`.
    """
    size, steps = parameters.size, parameters.steps
    margin = np.array([size - ink.shape[0], size - ink.shape[1]]) * _MOMENTS
    place = np.array([int(rng.integers(0, r + 1)) for r in margin])
    pace = rng.integers(1, parameters.speed + 1, size=2) * rng.choice([-1, 1], size=2)
    sign = int(rng.choice([-1, 1]))  # a bright digit, or a dark one
    seen: np.ndarray | None = None
    frames = np.zeros((steps, 2, size, size), dtype=np.int64)
    for moment in range(steps * _MOMENTS + 1):
        scene = np.zeros((size, size), dtype=np.int64)
        y, x = place // _MOMENTS
        scene[y : y + ink.shape[0], x : x + ink.shape[1]] = sign * ink
        if seen is None:
            seen = scene
        else:
            change = scene - seen
            events = np.abs(change) // parameters.threshold * np.sign(change)
            seen = seen + events * parameters.threshold
            frame = frames[(moment - 1) // _MOMENTS]
            frame[0] += np.maximum(events, 0)
            frame[1] += np.maximum(-events, 0)
        place = place + pace
        pace = np.where((place < 0) | (place > margin), -pace, pace)
        place = np.clip(place, 0, margin)
    frames += rng.integers(0, 1000, size=frames.shape) < parameters.noise
    return np.minimum(frames, 255).astype(np.uint8)
