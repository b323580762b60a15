"""Scenes of handwritten digits over textured backgrounds, drawn from a random generator.

All arithmetic uses integers, so that a seed gives the same pixels on every machine (floats would
round differently on different CPUs).
"""

from dataclasses import dataclass

import numpy as np

from ...runtime.arguments import check_fields
from .generated import check_integers

VERSION = 1  # of the drawing: raise it when the same seed would give other pixels
CLASSES = tuple(str(digit) for digit in range(10))
_INK = 96  # of 255: least ink of a pixel that belongs to the digit
_TRIES = 20  # places tried for a digit before it is left out


@dataclass(frozen=True)
class SceneParameters:
    """Parameters of a set of scenes; the same values give the same files.

    Attributes:
        size: width and height of a scene, in pixels.
        counts: number of scenes in train, val and test.
        digits: smallest and largest number of digits in a scene. A full scene may get fewer, but
            at least one.
        digit_size: smallest and largest height of a digit, in pixels.
        overlap: largest part of the smaller of two boxes that the other may cover, in per cent.
        contrast: smallest difference between the tone of a digit and the mean brightness of the
            background, of 255. The colour channels vary around the tone by up to 30.
        seed: seed of all random numbers.

    Example:
        >>> from sakd_dense.datasets import SceneParameters
        >>> SceneParameters(counts=(8, 2, 2)).size
        (96, 96)
    """

    size: tuple[int, int] = (96, 96)
    counts: tuple[int, int, int] = (1600, 100, 200)
    digits: tuple[int, int] = (2, 5)
    digit_size: tuple[int, int] = (18, 36)
    overlap: int = 15
    contrast: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        check_integers(
            self,
            dict(size=2, counts=3, digits=2, digit_size=2),
            ("digits", "digit_size"),
            dict(overlap=(0, 100), contrast=(0, 120), seed=(0, 2**32)),
        )


@dataclass
class Scene:
    """Image of handwritten digits with their masks.

    Attributes:
        image: ``[H, W, 3]`` uint8, RGB.
        masks: bool ``[H, W]`` for each digit, True where it is visible.
        digits: the digit of each mask.
    """

    image: np.ndarray
    masks: list[np.ndarray]
    digits: list[int]

    @property
    def label_map(self) -> np.ndarray:
        """Label map ``[H, W]`` uint8: 0 for the background, digit + 1 elsewhere."""
        labels = np.zeros(self.image.shape[:2], dtype=np.uint8)
        for mask, digit in zip(self.masks, self.digits, strict=True):
            labels[mask] = digit + 1
        return labels


def enlarge(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes integers ``[h, w, ...]`` to ``[height, width, ...]``, bilinearly and exactly."""
    rows = _weights(grid.shape[0], height)
    columns = _weights(grid.shape[1], width)
    out = np.tensordot(rows, grid.astype(np.int64), axes=(1, 0))
    out = np.tensordot(columns, out, axes=(1, 1)).swapaxes(0, 1)
    return (out + (1 << 15)) >> 16


def _weights(source: int, target: int) -> np.ndarray:
    """Returns the weight of each source pixel in 256ths, ``[target, source]``, centres aligned."""
    place = ((2 * np.arange(target) + 1) * source - target) * 256 // (2 * target)
    place = np.clip(place, 0, (source - 1) * 256)
    low, part = place >> 8, place & 255
    weights = np.zeros((target, source), dtype=np.int64)
    index = np.arange(target)
    weights[index, low] = 256 - part
    weights[index, np.minimum(low + 1, source - 1)] += part
    return weights


def draw_scene(
    rng: np.random.Generator, scans: np.ndarray, targets: np.ndarray, parameters: SceneParameters
) -> Scene:
    """Draws one scene.

    Args:
        rng: the only source of randomness.
        scans: ``[N, 8, 8]``, ink from 0 to 16.
        targets: ``[N]``, the digit of each scan.
        parameters: see :class:`SceneParameters`.
    """
    width, height = parameters.size
    image, brightness = _background(rng, height, width)
    boxes: list[tuple[int, int, int, int]] = []
    masks: list[np.ndarray] = []
    digits: list[int] = []
    for _ in range(rng.integers(parameters.digits[0], parameters.digits[1] + 1)):
        number = int(rng.integers(len(scans)))
        ink = ink_of(rng, scans[number], parameters.digit_size)
        h, w = ink.shape
        for _ in range(_TRIES):
            y = int(rng.integers(0, height - h + 1))
            x = int(rng.integers(0, width - w + 1))
            box = (x, y, x + w, y + h)
            if all(_covered(box, other) <= parameters.overlap for other in boxes):
                break
        else:
            continue
        color = _color(rng, brightness, parameters.contrast)
        part = image[y : y + h, x : x + w]
        part += (color - part) * ink[..., None] // 255
        mask = np.zeros((height, width), dtype=bool)
        mask[y : y + h, x : x + w] = ink >= _INK
        masks = [old & ~mask for old in masks]  # later digits are on top
        boxes.append(box)
        masks.append(mask)
        digits.append(int(targets[number]))
    grain = rng.integers(-8, 9, size=image.shape)
    image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return Scene(image, masks, digits)


def _background(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, int]:
    """Returns a coloured cloud with noise and stripes, ``[H, W, 3]``, and its mean brightness."""
    image = np.empty((height, width, 3), dtype=np.int64)
    image[:] = rng.integers(40, 216, size=3)
    for cells, swing in ((3, 30), (9, 20), (24, 12)):
        image += enlarge(rng.integers(-swing, swing + 1, size=(cells, cells, 3)), height, width)
    dx, dy = rng.integers(-3, 4, size=2)
    period = int(rng.integers(12, 40))
    y, x = np.mgrid[:height, :width]
    stripes = (x * dx + y * dy) % period * 2 // period * 2 - 1
    image += stripes[..., None] * int(rng.integers(0, 13))
    image = np.clip(image, 0, 255)
    return image, int(image.sum()) // image.size


def ink_of(rng: np.random.Generator, scan: np.ndarray, digit_size: tuple[int, int]) -> np.ndarray:
    """Returns a scan without its empty border, enlarged, as opacity from 0 to 255."""
    scan = scan.astype(np.int64)
    rows, columns = np.flatnonzero(scan.max(1) > 3), np.flatnonzero(scan.max(0) > 3)
    scan = scan[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scan = np.pad(scan, 1)  # so that strokes end softly
    height = int(rng.integers(digit_size[0], digit_size[1] + 1))
    stretch = int(rng.integers(85, 116))
    width = height * scan.shape[1] * stretch // (scan.shape[0] * 100)
    ink = enlarge(scan * 255 // 16, height, int(np.clip(width, 6, digit_size[1])))
    return np.clip(ink * 3 // 2, 0, 255)


def _color(rng: np.random.Generator, brightness: int, contrast: int) -> np.ndarray:
    """Returns a colour with a tone at least ``contrast`` brighter or darker than ``brightness``."""
    lighter = brightness < 128
    low, high = (brightness + contrast, 255) if lighter else (0, brightness - contrast)
    tone = int(rng.integers(low, high + 1))
    return np.clip(tone + rng.integers(-30, 31, size=3), 0, 255)


def _covered(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    """Returns the intersection of two boxes over the smaller one, in per cent."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return -(-100 * w * h // smaller)
