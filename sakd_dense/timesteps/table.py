"""Table of the metrics, firing rates and times at each T, for any task."""

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from ..runtime.records import aligned

FIRING_RATE = "firing_rate"
MS = "ms_per_image"
#: Metrics of COCO and VOC: ``coco/bbox_mAP``, ``coco/bbox_mAP_50``, ``pascal_voc/AP50``.
_AVERAGE_PRECISION = re.compile(r"(?:^|_)m?AP(?:_?50|_?75)?$")
_MOST = 6

Rows = Mapping[Any, Mapping[str, float]]


def metric_columns(rows: Rows) -> dict[str, str]:
    """Selects the metrics that get a column in the table, with their headings.

    For detectors, the columns are mAP, mAP50 and mAP75, of boxes and of masks if both exist. For
    other models, they are the first six numeric metrics. Rows of some T may lack a metric.

    Returns:
        The heading of each selected metric by its name in ``rows``, such as
        ``{'coco/bbox_mAP_50': 'mAP50'}``.
    """
    names = dict.fromkeys(n for row in rows.values() for n in row if n not in (FIRING_RATE, MS))
    # A row may lack all metrics: mmdet returns none for a detector that finds nothing.
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
    """Returns the name of the metric that ranks checkpoints: mIoU, or else the first column.

    The result is None if ``rows`` has no metric.
    """
    names = list(metric_columns(rows))
    return next((n for n in names if _last(n) == "mIoU"), names[0] if names else None)


def table(rows: Rows, key: str = "T") -> str:
    """Returns an aligned table with a line for each T: the metrics, firing rate and ms per image.

    Args:
        rows: the values of each line by T, or by the quantity that ``key`` names.
        key: heading of the first column.
    """
    headings = {
        **metric_columns(rows),
        **{n: h for n, h in _MEASURED.items() if any(n in row for row in rows.values())},
    }
    lines = [[key, *headings.values()]]
    formats = [_format(name, [row.get(name) for row in rows.values()]) for name in headings]
    for t, row in rows.items():
        cells = [_cell(row.get(n), f) for n, f in zip(headings, formats, strict=True)]
        lines.append([str(t), *cells])
    return aligned(lines)


_MEASURED = {FIRING_RATE: "firing rate", MS: "ms per image"}


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _heading(name: str) -> str:
    return re.sub(r"_(50|75)$", r"\1", _last(name).removeprefix("bbox_")).replace("_", " ")


def _is_number(value: object) -> bool:
    # Real, since mmseg's metrics are NumPy's float32.
    return isinstance(value, Real) and not isinstance(value, bool)


def _format(name: str, values: list[float | None]) -> str:
    if name == MS:
        return ".1f"
    known = [abs(v) for v in values if v is not None and not math.isnan(v)]
    return ".3f" if max(known, default=0) <= 1 else ".2f"


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)
