"""Events of a camera in memory, and what a file of them can be asked."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import MissingFileError, UserError


@dataclass(frozen=True)
class Events:
    """N events, in the order in which a file holds them.

    Attributes:
        t: ``[N]`` int64, microseconds by the clock of the recording.
        x, y: ``[N]`` integers, pixels from the left and from the top.
        p: ``[N]`` uint8, 1 for brighter and 0 for darker.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import Events
        >>> t, x, y, p = np.array([[10, 20], [3, 4], [0, 1], [1, 0]])
        >>> events = Events(t, x, y, p.astype(np.uint8))
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, where: Any) -> "Events":
        return Events(self.t[where], self.x[where], self.y[where], self.p[where])

    @property
    def ordered(self) -> bool:
        """Whether no event is earlier than the one before it."""
        return bool((self.t[1:] >= self.t[:-1]).all())

    def in_order(self) -> "Events":
        """The same events by time; those of one microsecond stay as they were."""
        return self if self.ordered else self[np.argsort(self.t, kind="stable")]

    def between(self, start: int, stop: int) -> "Events":
        """The events of ``start <= t < stop``, which need not be in order."""
        if self.ordered:
            return self[slice(*np.searchsorted(self.t, (start, stop)))]
        return self[(self.t >= start) & (self.t < stop)]

    @classmethod
    def joined(cls, parts: "list[Events]") -> "Events":
        """Those of all ``parts``, one after the other."""
        if not parts:
            return cls.none()
        return cls(*(np.concatenate([getattr(e, name) for e in parts]) for name in "txyp"))

    @classmethod
    def none(cls) -> "Events":
        """No events."""
        return cls(*(np.zeros(0, kind) for kind in (np.int64, np.int32, np.int32, np.uint8)))


class EventFile(ABC):
    """A recording on the disk, read by windows of time.

    Attributes:
        path: of the file.
        size: height and width of the sensor where the file says them, else None.
        begin: when the recording begins, microseconds.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import EventFile, open_events
        >>> np.save("frame.npy", [[10, 3, 0, 1], [20, 3, 0, 1], [90, 4, 1, 0]])  # t, x, y, p
        >>> file = open_events("frame.npy")
        >>> isinstance(file, EventFile), file.before(90, count=1).t.tolist()
        (True, [20])
    """

    begin = 0

    def __init__(self, path: str | Path, size: tuple[int, int] | None = None) -> None:
        self.path = str(path)
        self.size = size

    @abstractmethod
    def window(self, start: int, stop: int) -> Events:
        """The events of ``start <= t < stop`` (microseconds), by time.

        A window may begin before the file or end behind it: there are no events there.

        Raises:
            UserError: for events that are not in order where the order is needed to find them.
        """

    @abstractmethod
    def before(self, stop: int, count: int) -> Events:
        """The last ``count`` events of ``t < stop``, by time; fewer where the file begins."""

    def _unordered(self, t: int) -> UserError:
        return UserError(
            f"{self.path}: the events around t = {t} us are not sorted by time, so a window cannot "
            "be found; write a sorted file with sakd_dense.datasets.events.sort_dat(FILE, "
            "NEW_FILE)"
        )


def header_of(path: str | Path) -> tuple[list[str], int]:
    r"""The lines of a Prophesee file's header, without their ``%``, and where the data begins.

    Raises:
        MissingFileError: there is no such file.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.datasets.events.stream import header_of
        >>> _ = Path("recording.dat").write_bytes(b"% Version 2\n% Height 4\n\x00\x08")
        >>> header_of("recording.dat")
        (['Version 2', 'Height 4'], 23)
    """
    lines: list[str] = []
    with open_binary(path) as file:
        while True:
            at = file.tell()
            line = file.readline(4096)
            if not line.startswith(b"% ") or not line.endswith(b"\n"):
                return lines, at
            lines.append(line[2:].decode("latin-1").strip())
            if lines[-1] == "end":  # later versions end their header so
                return lines, file.tell()


def open_binary(path: str | Path) -> Any:
    """The file, to be read as bytes.

    Raises:
        MissingFileError: there is no such file.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.datasets.events.stream import open_binary
        >>> _ = Path("recording.dat").write_bytes(b"% Version 2")
        >>> with open_binary("recording.dat") as file:
        ...     file.read(1)
        b'%'
    """
    if not Path(path).is_file():
        raise MissingFileError(f"there is no event file {str(path)!r}")
    return open(path, "rb")


__all__ = ["EventFile", "Events", "header_of", "open_binary"]
