"""The result of a sweep, to print, to keep and to draw."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..runtime.records import Record
from .table import FIRING_RATE, MS, main_metric, metric_columns, table


@dataclass
class SweepResult(Record):
    """Metrics at every T of one model.

    Attributes:
        rows: by T, the metrics under the evaluator's names (``coco/bbox_mAP``), and
            ``firing_rate`` of all neurons and ``ms_per_image`` of that T alone. An ANN has one
            row, under None.
        images: how many were evaluated.
        sweep_ms_per_image: all T together, from one backbone pass a batch, without loading data
            and without metrics; None for an ANN.
        timed_images: over how many ``ms_per_image`` was measured; 0 if it was not.
        batch_size: images a batch while timing.

    Example:
        >>> from sakd_dense.timesteps import SweepResult
        >>> rows = {1: {"coco/bbox_mAP": 0.31}, 4: {"coco/bbox_mAP": 0.42}}
        >>> result = SweepResult(rows=rows, images=8)
        >>> result.main_metric
        'coco/bbox_mAP'
        >>> print(result.table())
        T    mAP
        1  0.310
        4  0.420
    """

    description: ClassVar[str] = "a sweep that tools/test.py --out wrote"

    rows: dict[int | None, dict[str, float]]
    images: int = 0
    sweep_ms_per_image: float | None = None
    timed_images: int = 0
    batch_size: int = 0
    device: str = "cpu"

    @property
    def main_metric(self) -> str | None:
        """The name of the metric that counts, such as ``coco/bbox_mAP`` or ``mIoU``."""
        return main_metric(self.rows)

    def table(self) -> str:
        """T, metrics, firing rate and ms an image, aligned."""
        return table(self.rows)

    def notes(self) -> str:
        """Returns notes on how the times in the table were measured."""
        notes = []
        if self.timed_images:
            notes.append(
                f"ms an image: each T measured in a run of its own, over {self.timed_images} "
                f"images in batches of {self.batch_size} on {self.device}, from preprocessing to "
                "boxes or maps, without data loading and metrics"
            )
        if self.sweep_ms_per_image is not None and len(self.rows) > 1:
            notes.append(
                f"all {len(self.rows)} T from one backbone pass: {self.sweep_ms_per_image:.1f} ms "
                "an image"
            )
        return "\n".join(notes)

    def to_content(self) -> dict[str, Any]:
        """The fields as JSON knows them: the rows are a list, since T may be None.

        Returns:
            ``rows``, a list of dicts with ``T``, ``metrics`` (a dict), ``firing_rate`` and
            ``ms_per_image``; ``images``, ``sweep_ms_per_image``, ``timed_images``, ``batch_size``
            and ``device``; and those of every record: ``config``, ``checkpoint``, ``command``,
            ``versions`` and ``date``. The file has ``notes`` as well.
        """
        rows = [
            {
                "T": t,
                "metrics": {k: v for k, v in row.items() if k not in (FIRING_RATE, MS)},
                FIRING_RATE: row.get(FIRING_RATE),
                MS: row.get(MS),
            }
            for t, row in self.rows.items()
        ]
        return {**super().to_content(), "rows": rows}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        rows = {}
        for row in content.pop("rows"):
            measured = {k: row[k] for k in (FIRING_RATE, MS) if row[k] is not None}
            rows[row["T"]] = {**row["metrics"], **measured}
        return cls(rows=rows, **content)


__all__ = ["SweepResult", "metric_columns"]
