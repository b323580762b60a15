"""A table of what was read at each T, whatever the task's metrics are called."""

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

FIRING_RATE = "firing_rate"
MS = "ms_per_image"
#: COCO's and VOC's: ``coco/bbox_mAP``, ``coco/bbox_mAP_50``, ``pascal_voc/AP50``.
_AVERAGE_PRECISION = re.compile(r"(?:^|_)m?AP(?:_?50|_?75)?$")
_MOST = 6

Rows = Mapping[Any, Mapping[str, float]]


def metric_columns(rows: Rows) -> dict[str, str]:
    """The metrics worth a column, by name in ``rows``, with their headings.

    mAP, mAP50 and mAP75 for detectors (of boxes and of masks, where there are both); else the
    first six numbers that the metrics gave. Some T may lack one.

    Returns:
        The heading of each chosen metric by its name, such as ``{'coco/bbox_mAP_50': 'mAP50'}``.
    """
    names = dict.fromkeys(n for row in rows.values() for n in row if n not in (FIRING_RATE, MS))
    # A T may have none: mmdet gives no metrics for a detector that finds nothing.
    columns = {n: [row[n] for row in rows.values() if row.get(n) is not None] for n in names}
    numbers = [n for n, values in columns.items() if values and all(map(_is_number, values))]
    chosen = [n for n in numbers if _AVERAGE_PRECISION.search(_last(n))] or numbers[:_MOST]
    headings = {n: _heading(n) for n in chosen}
    if len(set(headings.values())) < len(headings):
        headings = {n: _last(n).replace("_", " ") for n in chosen}
    if len(set(headings.values())) < len(headings):
        headings = {n: n for n in chosen}
    return headings


def main_metric(rows: Rows) -> str | None:
    """The name in ``rows`` of the metric that ranks checkpoints: mIoU, else the first column."""
    names = list(metric_columns(rows))
    return next((n for n in names if _last(n) == "mIoU"), names[0] if names else None)


def table(rows: Rows, key: str = "T") -> str:
    """One line a T: T, the metrics, the firing rate, ms an image; aligned.

    Args:
        rows: by T, or by what ``key`` names.
        key: the heading of the first column.
    """
    headings = {
        **metric_columns(rows),
        **{n: h for n, h in _MEASURED.items() if any(n in row for row in rows.values())},
    }
    lines = [[key, *headings.values()]]
    formats = [_format(name, [row.get(name) for row in rows.values()]) for name in headings]
    for t, row in rows.items():
        cells = [_cell(row.get(n), f) for n, f in zip(headings, formats, strict=True)]
        lines.append(["-" if t is None else str(t), *cells])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]], left: int = 0) -> str:
    """Cells in columns, flush right but for the first ``left`` columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


_MEASURED = {FIRING_RATE: "firing rate", MS: "ms an image"}


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _heading(name: str) -> str:
    return re.sub(r"_(50|75)$", r"\1", _last(name).removeprefix("bbox_")).replace("_", " ")


def _is_number(value: object) -> bool:
    # Real: mmseg's metrics are float32 of NumPy.
    return isinstance(value, Real) and not isinstance(value, bool)


def _format(name: str, values: list[float | None]) -> str:
    if name == MS:
        return ".1f"
    known = [abs(v) for v in values if v is not None and not math.isnan(v)]
    return ".3f" if max(known, default=0) <= 1 else ".2f"


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)
