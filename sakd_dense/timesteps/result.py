"""The result of a sweep, with its table and its JSON file."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..runtime.records import Record
from .table import FIRING_RATE, MS, main_metric, metric_columns, table


@dataclass
class SweepResult(Record):
    """Metrics of one model at every T, and at every D of neurons that fire integers.

    Attributes:
        rows: for each (T, D), the metrics under the evaluator's names (``coco/bbox_mAP``), the
            ``firing_rate`` of all neurons, and ``ms_per_image``, measured in a separate run at that
            T. D is None where no counts were given. An ANN has one row, under (None, None).
        images: number of evaluated images.
        sweep_ms_per_image: time in ms per image for all T together, from one backbone pass per
            batch, without data loading and metrics; None for an ANN and for several D.
        timed_images: number of images over which ``ms_per_image`` was measured; 0 if it was not
            measured.
        batch_size: largest number of images per batch while timing.
        device: name of the GPU, or the type of another device (``'cpu'``).

    Example:
        >>> from sakd_dense.timesteps import SweepResult
        >>> rows = {(1, None): {"coco/bbox_mAP": 0.31}, (4, None): {"coco/bbox_mAP": 0.42}}
        >>> result = SweepResult(rows=rows, images=8)
        >>> result.main_metric
        'coco/bbox_mAP'
        >>> print(result.table())
        T    mAP
        1  0.310
        4  0.420
        >>> result.at_counts(None)[4]
        {'coco/bbox_mAP': 0.42}
    """

    description: ClassVar[str] = "a sweep that tools/test.py --out wrote"

    rows: dict[tuple[int | None, int | None], dict[str, float]]
    images: int = 0
    sweep_ms_per_image: float | None = None
    timed_images: int = 0
    batch_size: int = 0
    device: str = "cpu"

    @property
    def counts(self) -> list[int | None]:
        """The values of D, in the order of the rows; ``[None]`` where no counts were given."""
        return list(dict.fromkeys(d for _, d in self.rows))

    def at_counts(self, count: int | None) -> dict[int | None, dict[str, float]]:
        """Returns the rows of one D by T."""
        return {t: row for (t, d), row in self.rows.items() if d == count}

    def labelled(self) -> dict[str, dict[str, float]]:
        """Returns the rows by a label: T, or T x D where counts were given."""
        return {str(t) if d is None else f"{t}x{d}": row for (t, d), row in self.rows.items()}

    @property
    def main_metric(self) -> str | None:
        """Name of the metric that ranks checkpoints, such as ``coco/bbox_mAP`` or ``mIoU``."""
        return main_metric(self.rows)

    def table(self) -> str:
        """Returns an aligned table: T (x D), the metrics, the firing rate and ms per image."""
        rows = {"-" if label == "None" else label: row for label, row in self.labelled().items()}
        return table(rows, "T" if self.counts == [None] else "T x D")

    def notes(self) -> str:
        """Returns notes on how the rows were measured."""
        notes = []
        if self.counts != [None]:
            notes.append(
                f"{len(self.rows)} readings from {len(self.counts)} passes per batch: one pass for "
                "each D gives every T. A row has T x D slots; the firing rate is spikes per neuron "
                "and slot."
            )
        if self.timed_images:
            notes.append(
                f"ms per image: each T measured in a run of its own, over {self.timed_images} "
                f"images in batches of {self.batch_size} on {self.device}, from preprocessing to "
                "boxes or maps, without data loading and metrics"
            )
        if self.sweep_ms_per_image is not None and len(self.rows) > 1:
            notes.append(
                f"all {len(self.rows)} T from one backbone pass: {self.sweep_ms_per_image:.1f} ms "
                "per image"
            )
        return "\n".join(notes)

    def to_content(self) -> dict[str, Any]:
        """Returns the fields as a dict for JSON, with the rows as a list.

        Returns:
            ``rows``, a list of dicts with ``T``, ``D``, ``metrics`` (a dict), ``firing_rate`` and
            ``ms_per_image``; ``images``, ``sweep_ms_per_image``, ``timed_images``, ``batch_size``
            and ``device``; and the fields of every record: ``config``, ``checkpoint``,
            ``command``, ``versions`` and ``date``. The file also contains ``notes``.
        """
        rows = [
            {
                "T": t,
                "D": d,
                "metrics": {k: v for k, v in row.items() if k not in (FIRING_RATE, MS)},
                FIRING_RATE: row.get(FIRING_RATE),
                MS: row.get(MS),
            }
            for (t, d), row in self.rows.items()
        ]
        return {**super().to_content(), "rows": rows}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Creates the result from the output of :meth:`to_content`; removes ``rows`` from it."""
        rows = {}
        for row in content.pop("rows"):
            measured = {k: row[k] for k in (FIRING_RATE, MS) if row[k] is not None}
            rows[row["T"], row.get("D")] = {**row["metrics"], **measured}
        return cls(rows=rows, **content)


__all__ = ["SweepResult", "metric_columns"]
