"""What a sweep found, to print, to keep and to draw."""

import json
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..report.sweep_plot import plot
from ..runtime.errors import UserError
from ..runtime.files import replacing
from .table import FIRING_RATE, MS, main_metric, metric_columns, table

_LIBRARIES = ("torch", "mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "sakd_dense")


def versions() -> dict[str, str]:
    """The versions of the libraries that are loaded."""
    loaded = {name: sys.modules.get(name) for name in _LIBRARIES}
    found = {name: str(getattr(m, "__version__", "?")) for name, m in loaded.items() if m}
    return {"python": sys.version.split()[0], **found}


@dataclass
class SweepResult:
    """Metrics by T.

    Attributes:
        rows: by T, the metrics under the evaluator's names (``coco/bbox_mAP``), and
            ``firing_rate`` of all neurons and ``ms_per_image`` of that T alone. An ANN has one
            row, under None.
        config, checkpoint: what was tested.
        images: how many were evaluated.
        sweep_ms_per_image: all T together, from one backbone pass a batch, without loading data
            and without metrics; None for an ANN.
        timed_images: over how many ``ms_per_image`` was measured; 0 if it was not.
        batch_size: images a batch while timing.
    """

    rows: dict[int | None, dict[str, float]]
    config: str = ""
    checkpoint: str | None = None
    images: int = 0
    sweep_ms_per_image: float | None = None
    timed_images: int = 0
    batch_size: int = 0
    device: str = "cpu"
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    versions: dict[str, str] = field(default_factory=versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def main_metric(self) -> str | None:
        """The name of the metric that counts, such as ``coco/bbox_mAP`` or ``mIoU``."""
        return main_metric(self.rows)

    def table(self) -> str:
        """T, metrics, firing rate and ms an image, aligned."""
        return table(self.rows)

    def notes(self) -> str:
        """What the times in the table are."""
        notes = []
        if self.timed_images:
            notes.append(
                f"ms an image: each T run by itself over {self.timed_images} images in batches "
                f"of {self.batch_size} on {self.device}, preprocessing to boxes or maps; loading "
                "data and metrics are not in it"
            )
        if self.sweep_ms_per_image is not None and len(self.rows) > 1:
            notes.append(
                f"all {len(self.rows)} T from one backbone pass: {self.sweep_ms_per_image:.1f} ms "
                "an image"
            )
        return "\n".join(notes)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything; a value that is not a number becomes null."""
        content = {
            "config": self.config,
            "checkpoint": self.checkpoint,
            "command": self.command,
            "date": self.date,
            "device": self.device,
            "versions": self.versions,
            "images": self.images,
            "timed_images": self.timed_images,
            "batch_size": self.batch_size,
            "sweep_ms_per_image": self.sweep_ms_per_image,
            "notes": self.notes(),
            "rows": [
                {
                    "T": t,
                    "metrics": {k: v for k, v in row.items() if k not in (FIRING_RATE, MS)},
                    FIRING_RATE: row.get(FIRING_RATE),
                    MS: row.get(MS),
                }
                for t, row in self.rows.items()
            ],
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> "SweepResult":
        """What :meth:`to_json` wrote.

        Raises:
            MissingFileError: there is no such file.
            UserError: it is not one that :meth:`to_json` wrote.
        """
        try:
            content = json.loads(Path(path).read_text())
            content.pop("notes")
            rows = {}
            for row in content.pop("rows"):
                measured = {k: row[k] for k in (FIRING_RATE, MS) if row[k] is not None}
                rows[row["T"]] = {**row["metrics"], **measured}
            return cls(rows=rows, **content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"{path} is not a sweep that tools/test.py --out wrote ({error!r})"
            ) from error

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws the metrics, the firing rate and the time over T, as a PNG."""
        plot(self.rows, Path(path), title=Path(self.config).stem)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Iterable) and getattr(value, "ndim", 1):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else str(value)


__all__ = ["SweepResult", "metric_columns", "versions"]
