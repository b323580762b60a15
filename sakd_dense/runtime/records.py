"""Results as JSON files that record their provenance."""

import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from .errors import MissingFileError, UserError
from .files import replacing

_LIBRARIES = ("torch", "mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "sakd_dense")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the loaded libraries.

    Returns:
        The version by name, for ``python`` and for those of ``torch``, ``mmengine``, ``mmcv``,
        ``mmdet``, ``mmseg``, ``mmpretrain`` and ``sakd_dense`` that are loaded.
    """
    loaded = {name: sys.modules.get(name) for name in _LIBRARIES}
    numbers = {name: str(getattr(m, "__version__", "?")) for name, m in loaded.items() if m}
    return {"python": sys.version.split()[0], **numbers}


@dataclass(kw_only=True)
class Record:
    """A result with its provenance; subclasses add the result's own fields.

    Attributes:
        config, checkpoint: the names of the config and checkpoint that were run.
        command: the command line.
        versions: the library versions, see :func:`versions`.
        date: time in UTC at which the record was created, in ISO 8601.
    """

    #: Name of this kind of file in error messages.
    description: ClassVar[str]

    config: str = ""
    checkpoint: str | None = None
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    versions: dict[str, str] = field(default_factory=versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def notes(self) -> str:
        """Returns notes on how to read the numbers. The file stores them with the numbers."""
        raise NotImplementedError

    def to_content(self) -> dict[str, Any]:
        """Returns the fields as a dict for JSON.

        Returns:
            ``config``, ``checkpoint``, ``command``, ``versions``, ``date`` and the fields of the
            subclass.
        """
        return asdict(self)

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """Creates the record from the output of :meth:`to_content`; may change ``content``."""
        return cls(**content)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the fields and notes to a JSON file, completely or not at all.

        NaN and infinity become null.
        """
        content = {**self.to_content(), "notes": self.notes()}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a file that :meth:`to_json` wrote.

        Raises:
            MissingFileError: the file does not exist.
            UserError: :meth:`to_json` did not write the file.
        """
        try:
            content = json.loads(Path(path).read_text())
            del content["notes"]
            return cls.from_content(content)
        except FileNotFoundError as error:
            raise MissingFileError(f"{path} does not exist") from error
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise UserError(f"{path} is not {cls.description} ({error!r})") from error


def aligned(lines: Sequence[Sequence[str]], left: int = 0) -> str:
    """Aligns cells in columns: the first ``left`` columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Iterable) and getattr(value, "ndim", None) != 0:
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else str(value)


__all__ = ["Record", "aligned", "versions"]
