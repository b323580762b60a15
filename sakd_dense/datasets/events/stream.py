"""Events of a camera in memory, and the interface of the files that contain them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import MissingFileError, UserError


@dataclass(frozen=True)
class Events:
    """N events in the order of their file.

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
        """Returns the events sorted by time; those of one microsecond keep their order."""
        return self if self.ordered else self[np.argsort(self.t, kind="stable")]

    def between(self, start: int, stop: int) -> "Events":
        """Returns the events of ``start <= t < stop``, which need not be in order."""
        if self.ordered:
            return self[slice(*np.searchsorted(self.t, (start, stop)))]
        return self[(self.t >= start) & (self.t < stop)]

    @classmethod
    def joined(cls, parts: "list[Events]") -> "Events":
        """Returns the events of all ``parts``, one part after the other."""
        if not parts:
            return cls.none()
        return cls(*(np.concatenate([getattr(e, name) for e in parts]) for name in "txyp"))

    @classmethod
    def none(cls) -> "Events":
        """Returns no events."""
        return cls(*(np.zeros(0, kind) for kind in (np.int64, np.int32, np.int32, np.uint8)))


class EventFile(ABC):
    """Recording on disk that is read by windows of time.

    Attributes:
        path: path of the file.
        size: height and width of the sensor if the file gives them, else None.
        begin: time at which the recording begins, in microseconds.

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
        """Returns the events of ``start <= t < stop`` (microseconds), sorted by time.

        A window may begin before the recording or end after it; no events are found there.

        Raises:
            UserError: the events are not in order, and the reader needs the order to find them.
        """

    @abstractmethod
    def before(self, stop: int, count: int) -> Events:
        """Returns the last ``count`` events of ``t < stop`` (or all, if fewer), sorted by time."""

    @property
    def end(self) -> int:
        """The microsecond after the last event."""
        last = self.before(1 << 62, 1)
        return int(last.t[-1]) + 1 if len(last) else self.begin + 1

    def _unordered(self, t: int) -> UserError:
        return UserError(
            f"{self.path}: the events around t = {t} us are not sorted by time, so a window cannot "
            "be found; write a sorted file with sakd_dense.datasets.events.sort_dat(FILE, "
            "NEW_FILE)"
        )


def header_of(path: str | Path) -> tuple[list[str], int]:
    r"""Returns the lines of a Prophesee file's header without ``%``, and the offset of the data.

    Raises:
        MissingFileError: the file does not exist.
    """
    lines: list[str] = []
    with open_binary(path) as file:
        while True:
            at = file.tell()
            line = file.readline(4096)
            if not line.startswith(b"% ") or not line.endswith(b"\n"):
                return lines, at
            lines.append(line[2:].decode("latin-1").strip())
            if lines[-1] == "end":  # later versions end their header with this line
                return lines, file.tell()


def open_binary(path: str | Path) -> Any:
    """Opens a file for reading bytes.

    Raises:
        MissingFileError: the file does not exist.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"there is no event file {str(path)!r}")
    return open(path, "rb")


__all__ = ["EventFile", "Events", "header_of", "open_binary"]
