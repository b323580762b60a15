"""Comparison of a checkpoint's keys with a model's, with reasons for keys that need not fit.

Level 1, the teacher and strict loading all use this module, each with its own
:class:`KeyExceptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .keys import match_keys, matches, prefixes
from .report import ShapeDiffers, TransferReport
from .weights import COUNTERS, Checkpoint, averaged_keys

#: Why keys below ``data_preprocessor`` need not fit: mean and std are settings, not weights.
PREPROCESSOR = {"*data_preprocessor.*": "the model normalises by its own config"}
#: SAKD's authors compare features through one layer per stage, only in training (public code).
ADAPTORS = "an adaptor of the authors' training, which no network uses"
#: Keys that are never part of a network's computation.
_MAY_MISS = {"*num_batches_tracked": "a counter that old checkpoints lack"}
_MAY_BE_LEFT = {
    **dict.fromkeys(COUNTERS, "counter of an averaged model"),
    "transform[1-4].*": ADAPTORS,
    "backbone.transform[1-4].*": ADAPTORS,
    **PREPROCESSOR,
}


@dataclass(frozen=True)
class KeyExceptions:
    """Keys that need not fit, in addition to those that every use accepts.

    Every use lets the checkpoint lack ``num_batches_tracked``. Every use also lets the model lack
    counters of averages, the preprocessor's statistics and the adaptors of SAKD's authors. Each
    attribute maps glob patterns of keys to the reason in the report. The first pattern that matches
    counts.

    Attributes:
        missing: keys of the model that the checkpoint may lack.
        left: keys of the checkpoint that the model may lack.
        shape: keys of the model that may have another shape in the checkpoint.
    """

    missing: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    shape: Mapping[str, str] = field(default_factory=dict)

    def why_missing(self, key: str) -> str | None:
        """Returns the reason why the checkpoint may lack the model's ``key``, or None."""
        return _reason(key, {**_MAY_MISS, **self.missing})

    def why_left(self, key: str) -> str | None:
        """Returns the reason why the model may lack the checkpoint's ``key``, or None."""
        return _reason(key, {**_MAY_BE_LEFT, **self.left})


def _reason(key: str, reasons: Mapping[str, str]) -> str | None:
    return next((why for pattern, why in reasons.items() if matches(key, [pattern])), None)


def fit(
    checkpoint: Checkpoint,
    model: Mapping[str, Tensor],
    policy: KeyExceptions,
    part: str = "all",
    exact: bool = False,
) -> TransferReport:
    """Compares every key of ``checkpoint`` with ``model`` and reports the result; loads nothing.

    Args:
        checkpoint: the source.
        model: the model's state dict.
        policy: keys that need not fit.
        part: ``'all'`` (default), ``'backbone'`` or ``'head'``. Keys outside of the part count as
            explained.
        exact: keys fit only under their own names, not under another project's. Default: False.
    """
    source = checkpoint.state
    report = TransferReport(checkpoint.name, part, note=checkpoint.note)
    report.left.update(checkpoint.others)
    names: Mapping[str, str | None]
    names = {k: k for k in source} if exact else match_keys(source, model, part)
    prefix = "" if exact else prefixes(source, model)[1] or ""
    for old, new in names.items():
        if new is None and part != "all":
            side = "not part of the backbone" if part == "backbone" else "of the backbone"
            report.left[old] = side
        elif new is None or new not in model:
            fc = not exact and new is not None and new.startswith(f"{prefix}fc.")
            report.left[old] = "torchvision's classifier" if fc else policy.why_left(old)
        elif source[old].shape != model[new].shape:
            shapes = list(source[old].shape), list(model[new].shape)
            report.shape_differs[new] = ShapeDiffers(*shapes, reason=_reason(new, policy.shape))
        elif old == new:
            report.taken.append(old)
        else:
            report.renamed[old] = new
    reached = {*report.loaded, *report.shape_differs}
    for key in model:
        if key in reached:
            continue
        if part == "backbone" and not key.startswith(prefix):
            report.missing[key] = "not part of a backbone checkpoint"
        elif part == "head" and key.startswith(prefix):
            report.missing[key] = "the backbone is initialised separately"
        else:
            report.missing[key] = policy.why_missing(key)
    averages = [k for k in averaged_keys(source).values() if report.left.get(k, "") is None]
    if averages:
        report.hints.append(
            f"the checkpoint holds a second set of weights under ema_* ({len(averages)} keys, of "
            "MMDetection 2.x): weights='ema' loads those, weights='raw' the others"
        )
    return report


__all__ = ["ADAPTORS", "PREPROCESSOR", "KeyExceptions", "fit"]
