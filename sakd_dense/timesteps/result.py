"""The result of a sweep, with its table and its JSON file."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..runtime.records import Record
from .table import FIRING_RATE, MS, main_metric, metric_columns, table


@dataclass
class SweepResult(Record):
    """Metrics of one model at every T.

    Attributes:
        rows: for each T, the metrics under the evaluator's names (``coco/bbox_mAP``), the
            ``firing_rate`` of all neurons, and ``ms_per_image``, measured in a separate run at that
            T. An ANN has one row, under None.
        images: number of evaluated images.
        sweep_ms_per_image: time in ms per image for all T together, from one backbone pass per
            batch, without data loading and metrics; None for an ANN.
        timed_images: number of images over which ``ms_per_image`` was measured; 0 if it was not
            measured.
        batch_size: largest number of images per batch while timing.
        device: name of the GPU, or the type of another device (``'cpu'``).

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
        """Name of the metric that ranks checkpoints, such as ``coco/bbox_mAP`` or ``mIoU``."""
        return main_metric(self.rows)

    def table(self) -> str:
        """Returns an aligned table: T, the metrics, the firing rate and ms per image."""
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
        """Returns the fields as a dict for JSON, with the rows as a list, since T may be None.

        Returns:
            ``rows``, a list of dicts with ``T``, ``metrics`` (a dict), ``firing_rate`` and
            ``ms_per_image``; ``images``, ``sweep_ms_per_image``, ``timed_images``, ``batch_size``
            and ``device``; and the fields of every record: ``config``, ``checkpoint``,
            ``command``, ``versions`` and ``date``. The file also contains ``notes``.
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
        """Creates the result from the output of :meth:`to_content`; removes ``rows`` from it."""
        rows = {}
        for row in content.pop("rows"):
            measured = {k: row[k] for k in (FIRING_RATE, MS) if row[k] is not None}
            rows[row["T"]] = {**row["metrics"], **measured}
        return cls(rows=rows, **content)


__all__ = ["SweepResult", "metric_columns"]
