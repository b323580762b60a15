"""Report of a transfer, which lists every key."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field

from ..runtime.errors import UserError
from ..runtime.files import replacing


@dataclass
class ShapeDiffers:
    """Shapes of a key that differ in source and target; ``reason`` is None if unexplained."""

    source: list[int]
    target: list[int]
    reason: str | None = None

    def __str__(self) -> str:
        there, here = ("x".join(map(str, s)) or "scalar" for s in (self.source, self.target))
        return f"{there} in the checkpoint, {here} in the model"


@dataclass
class TransferReport:
    """Report of every key of the source and of the target, each listed once.

    Attributes:
        checkpoint: the source, as the user named it.
        part: ``'all'``, ``'backbone'`` or ``'head'``.
        taken: keys loaded under their own name.
        renamed: source key -> target key, loaded.
        left: source keys that are not used -> reason (None: unexplained).
        missing: target keys that the source lacks -> reason (None: unexplained).
        shape_differs: target keys whose source has another shape; they keep their initialisation.
        hints: explanations of what the unexplained keys mean.
        note: the set of weights that was chosen, if there were several; else empty.

    Example:
        >>> from sakd_dense.transfer import TransferReport
        >>> keys = dict(taken=["conv1.weight"], missing={"fc.weight": None})
        >>> report = TransferReport("ann.pth", "all", **keys)
        >>> report.loaded, report.unexplained
        (['conv1.weight'], ['1 in the model but not in the checkpoint: fc.weight'])
    """

    checkpoint: str
    part: str
    taken: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    left: dict[str, str | None] = field(default_factory=dict)
    missing: dict[str, str | None] = field(default_factory=dict)
    shape_differs: dict[str, ShapeDiffers] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def pairs(self) -> dict[str, str]:
        """Source key -> target key, for all keys that fit."""
        return {**{key: key for key in self.taken}, **self.renamed}

    @property
    def loaded(self) -> list[str]:
        """Target keys whose values came from the source."""
        return self.taken + list(self.renamed.values())

    @property
    def unexplained(self) -> list[str]:
        """One line for each kind of unexplained key; empty if there is none."""
        left = [k for k, why in self.left.items() if why is None]
        missing = [k for k, why in self.missing.items() if why is None]
        lines = []
        if left:
            lines.append(f"{len(left)} in the checkpoint with no place in the model: {_few(left)}")
        if missing:
            lines.append(f"{len(missing)} in the model but not in the checkpoint: {_few(missing)}")
        differing = [f"{k} ({d})" for k, d in self.shape_differs.items() if d.reason is None]
        if differing:
            lines.append(f"{len(differing)} of another shape: {_few(differing)}")
        return lines

    def table(self) -> str:
        """Returns the report as text, with the keys of a module counted together."""
        lines = [f"transfer of {self.part} from {self.checkpoint}"]
        lines += [f"  {self.note}"] if self.note else []
        for name, keys in (("taken", self.taken), ("renamed", list(self.renamed.values()))):
            lines.append(f"  {name:<14}{len(keys):>5}  {_modules(keys)}")
        for name, reasons in (
            ("left", self.left),
            ("missing", self.missing),
            ("shape differs", {k: d.reason for k, d in self.shape_differs.items()}),
        ):
            lines.append(f"  {name:<14}{len(reasons):>5}  {'' if reasons else '-'}".rstrip())
            for reason in dict.fromkeys(reasons.values()):
                keys = [k for k, why in reasons.items() if why == reason]
                lines.append(f"      {len(keys):>5} {reason or 'UNEXPLAINED'}: {_few(keys)}")
        return "\n".join(lines)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the report to ``path`` as JSON (to a temporary name first)."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


class TransferError(UserError):
    """Error of a transfer: unexplained keys, no key that fits, or NaN or infinite values.

    :class:`~sakd_dense.transfer.SAKDTransfer` also raises it for an initialisation that would
    overwrite the loaded weights.

    Attributes:
        report: the :class:`TransferReport`, or None if the keys were not compared.

    Example:
        >>> from sakd_dense.transfer import TransferError, TransferReport
        >>> TransferError("1 key is missing", TransferReport("ann.pth", "all")).report.checkpoint
        'ann.pth'
    """

    def __init__(self, message: str, report: TransferReport | None = None) -> None:
        super().__init__(message)
        self.report = report


def _few(keys: list[str], most: int = 6) -> str:
    rest = f", ... and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + rest


def _modules(keys: list[str]) -> str:
    counts = Counter(k.split(".")[0] for k in keys)
    return ", ".join(f"{module} {count}" for module, count in counts.items()) or "-"
