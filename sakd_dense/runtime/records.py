"""Results as JSON files that say where they come from."""

import json
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from .errors import MissingFileError, UserError
from .files import replacing

_LIBRARIES = ("torch", "mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "sakd_dense")


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that are loaded.

    Returns:
        ``python``, and those that are loaded of ``torch``, ``mmengine``, ``mmcv``, ``mmdet``,
        ``mmseg``, ``mmpretrain`` and ``sakd_dense``.

    Example:
        >>> from sakd_dense.runtime.records import versions
        >>> list(versions())[:2]
        ['python', 'torch']
    """
    loaded = {name: sys.modules.get(name) for name in _LIBRARIES}
    numbers = {name: str(getattr(m, "__version__", "?")) for name, m in loaded.items() if m}
    return {"python": sys.version.split()[0], **numbers}


@dataclass(kw_only=True)
class Record:
    """A result with its provenance; subclasses add the result's own fields.

    Attributes:
        config, checkpoint: what was run.
        command: the command line.
        versions: see :func:`versions`.
        date: when, in UTC, as ISO 8601.

    Example:
        >>> from sakd_dense.timesteps import SweepResult  # a Record
        >>> SweepResult(rows={4: {"coco/bbox_mAP": 0.5}}, config="student.py").to_json("sweep.json")
        >>> SweepResult.from_json("sweep.json").config
        'student.py'
    """

    #: What an error calls a file of this kind.
    description: ClassVar[str]

    config: str = ""
    checkpoint: str | None = None
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    versions: dict[str, str] = field(default_factory=versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def notes(self) -> str:
        """Returns notes on how to read the numbers, which the file keeps beside them."""
        raise NotImplementedError

    def to_content(self) -> dict[str, Any]:
        """The fields as JSON knows them.

        Returns:
            ``config``, ``checkpoint``, ``command``, ``versions``, ``date``, and the fields of the
            subclass.
        """
        return asdict(self)

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`, which may change ``content``."""
        return cls(**content)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything, whole or not at all; NaN and infinity become null."""
        content = {**self.to_content(), "notes": self.notes()}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a file that :meth:`to_json` wrote.

        Raises:
            MissingFileError: there is no such file.
            UserError: it is not one that :meth:`to_json` wrote.
        """
        try:
            content = json.loads(Path(path).read_text())
            del content["notes"]
            return cls.from_content(content)
        except FileNotFoundError as error:
            raise MissingFileError(f"{path} does not exist") from error
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise UserError(f"{path} is not {cls.description} ({error!r})") from error


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


__all__ = ["Record", "versions"]
