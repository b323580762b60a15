"""The one account of which keys of a checkpoint fit a model, and why the others need not.

Level 1, the teacher and strict loading ask it, each with a :class:`Policy` of its own.
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
#: SAKD's authors compare features through a layer a stage, in training alone (their public code).
ADAPTORS = "an adaptor of the authors' training, which no network uses"
#: Keys that no network computes with, in any use.
_MAY_MISS = {"*num_batches_tracked": "a counter that old checkpoints lack"}
_MAY_BE_LEFT = {
    **dict.fromkeys(COUNTERS, "counter of an averaged model"),
    "transform[1-4].*": ADAPTORS,
    "backbone.transform[1-4].*": ADAPTORS,
    **PREPROCESSOR,
}


@dataclass(frozen=True)
class Policy:
    """Keys that need not fit, beside counters and the preprocessor's statistics.

    Each maps glob patterns of keys to the reason that stands in the account; the first pattern
    that fits counts.

    Attributes:
        missing: keys of the model that the checkpoint may lack.
        left: keys of the checkpoint that the model may lack.
        shape: keys of the model that may have another shape in the checkpoint.

    Example:
        >>> from sakd_dense.transfer.fit import Policy
        >>> policy = Policy(missing={"fc.*": "another head"})
        >>> policy.why_missing("fc.weight"), policy.why_missing("conv1.weight")
        ('another head', None)
    """

    missing: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    shape: Mapping[str, str] = field(default_factory=dict)

    def why_missing(self, key: str) -> str | None:
        """Why the checkpoint may lack the model's ``key``, or None."""
        return _reason(key, {**_MAY_MISS, **self.missing})

    def why_left(self, key: str) -> str | None:
        """Why the model may lack the checkpoint's ``key``, or None."""
        return _reason(key, {**_MAY_BE_LEFT, **self.left})


def _reason(key: str, reasons: Mapping[str, str]) -> str | None:
    return next((why for pattern, why in reasons.items() if matches(key, [pattern])), None)


def fit(
    checkpoint: Checkpoint,
    model: Mapping[str, Tensor],
    policy: Policy,
    part: str = "all",
    exact: bool = False,
) -> TransferReport:
    """Reports the fate of every key of ``checkpoint`` and of ``model``; loads nothing.

    Args:
        checkpoint: the source.
        model: the model's state dict.
        policy: what need not fit.
        part: ``'all'``, ``'backbone'`` or ``'head'``; what is outside of it is explained by that.
        exact: keys fit under their own names alone, not under another project's.

    Example:
        >>> import torch
        >>> from sakd_dense.transfer import Checkpoint
        >>> from sakd_dense.transfer.fit import Policy, fit
        >>> ann = Checkpoint("ann.pth", {"conv1.weight": torch.ones(8, 3, 7, 7)})
        >>> fit(ann, {"conv1.weight": torch.zeros(8, 3, 7, 7)}, Policy()).taken
        ['conv1.weight']
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


__all__ = ["ADAPTORS", "PREPROCESSOR", "Policy", "fit"]
