"""Event frames of one moving digit each for mmpretrain, generated on first use without download.

    data/digit_events/stamp.json                 the parameters the files were made from
                      train/3/00000.npz          frames [T, 2, H, W]: brighter, darker

The recordings are those of :mod:`.moving`. A frame counts the events of its share of a recording.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS
from mmpretrain.datasets import CustomDataset

from ...runtime.errors import UserError
from ..events.binning import count_events
from .generated import SPLITS, GeneratedSet, ensure, stamp
from .moving import VERSION, MovingParameters, record_scene
from .scans import load_scans
from .scenes import CLASSES

#: Parameters of a short recording of one digit.
SINGLE_DIGIT = dict(
    size=(32, 32),
    counts=(3000, 500, 1000),
    stamps=1,
    period=64_000,
    digits=(1, 1),
    digit_size=(14, 24),
    speed=(3, 24),
    threshold=40,
)


@DATASETS.register_module()
class DigitEventsDataset(GeneratedSet, CustomDataset):
    """Recordings of one moving digit each in ten classes, read with :class:`LoadEventFrames`.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use.
        events: values of :class:`MovingParameters` that replace those of :data:`SINGLE_DIGIT`;
            ``digits`` must stay (1, 1).
        time_steps: number of frames T of a recording. Default: 8.
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
        time_steps: int = 8,
        **kwargs: Any,
    ) -> None:
        self.choose(split, MovingParameters(**{**SINGLE_DIGIT, **(events or {})}))
        if self.parameters.digits != (1, 1):
            raise UserError(
                f"events={events!r}: a recording of digits={self.parameters.digits} has no single "
                "class; use digits=(1, 1)"
            )
        self.time_steps = time_steps
        super().__init__(
            data_root=data_root, data_prefix=split, extensions=(".npz",), with_label=True, **kwargs
        )

    def generate(self, root: str | Path, parameters: MovingParameters) -> None:
        made = partial(_write, parameters=parameters, time_steps=self.time_steps)
        made_from = {**stamp(parameters, VERSION), "time_steps": self.time_steps}
        ensure(root, "digit events", made_from, made)


def _write(folder: Path, parameters: MovingParameters, time_steps: int) -> None:
    """Writes the complete set into an empty folder."""
    parts = load_scans(parameters.seed)
    width, height = parameters.size
    for index, (split, count) in enumerate(zip(SPLITS, parameters.counts, strict=True)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
        for number in range(count):
            # One generator per recording: a set with more of them begins with the same ones.
            rng = np.random.default_rng([parameters.seed, index, number])
            recording = record_scene(rng, *parts[index], parameters)
            window = (0, recording.stamps[-1])
            frames = count_events(recording.events, time_steps, (height, width), window)
            file = folder / split / CLASSES[recording.digits[0]] / f"{number:05d}.npz"
            np.savez_compressed(file, frames=np.minimum(frames, 255).astype(np.uint8))


__all__ = ["DigitEventsDataset"]
