"""Prophesee's DAT format, version 2: eight bytes per event, in the order of time.

A file starts with a header of lines that begin with ``%``, a byte for the type of the events and
one for their size. Each event is its time in microseconds (32 bits) and a word of x (14 bits),
y (14 bits) and polarity (1 bit): https://docs.prophesee.ai/stable/data/file_formats/dat.html
"""

import os
from bisect import bisect_left
from pathlib import Path

import numpy as np

from ...runtime.errors import UserError
from ...runtime.files import replacing
from .stream import EventFile, Events, header_of, open_binary

_EVENT = np.dtype([("t", "<u4"), ("xyp", "<u4")])
_TYPES = (0, 12)  # 2D events and CD events, which are identical
_COORDINATE = (1 << 14) - 1


class DatFile(EventFile):
    """Memory-mapped DAT file: a window costs a binary search and reading its events.

    Args:
        path: path of the file, ``*.dat``.

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file is no DAT of version 2 with 2D events of 8 bytes, or is truncated.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import DatFile, Events, write_dat
        >>> t, x, y, p = np.array([[10, 20, 90], [3, 3, 4], [0, 0, 1], [1, 1, 0]])
        >>> write_dat("recording.dat", Events(t, x, y, p), size=(4, 6))
        >>> DatFile("recording.dat").window(0, 50).t.tolist()
        [10, 20]
    """

    def __init__(self, path: str | Path) -> None:
        lines, at = header_of(path)
        words = {line.split()[0]: line.split()[1:] for line in lines if line}
        version = words.get("Version", ["2"])[0]
        if not lines or version != "2":
            found = f"version {version}" if lines else "no header"
            raise UserError(
                f"{path} is not a DAT file of version 2 ({found}): convert it with Prophesee's "
                "tools"
            )
        super().__init__(path, _size(words))
        with open_binary(path) as file:
            file.seek(at)
            kind = file.read(2)
        if len(kind) < 2 or kind[0] not in _TYPES or kind[1] != _EVENT.itemsize:
            raise UserError(
                f"{path}: the events have type {kind[:1].hex() or 'none'} and "
                f"{kind[1:].hex() or 'no'} bytes; only 2D events of 8 bytes are supported"
            )
        count, rest = divmod(os.path.getsize(path) - at - 2, _EVENT.itemsize)
        if rest:
            raise UserError(
                f"{path} ends within an event (after {count} events and {rest} bytes): the file is "
                "truncated; download it again"
            )
        # An empty file cannot be mapped.
        self._events = (
            np.memmap(path, _EVENT, "r", at + 2, (count,)) if count else np.zeros(0, _EVENT)
        )
        self._t = self._events["t"]

    def __len__(self) -> int:
        return len(self._events)

    def window(self, start: int, stop: int) -> Events:
        if stop <= start:
            return Events.none()
        return self._part(self._first(start), self._first(stop), start, stop)

    def before(self, stop: int, count: int) -> Events:
        end = self._first(stop)
        return self._part(max(end - count, 0), end, -1, stop)

    def _first(self, t: int) -> int:
        """Returns the index of the first event that is not before ``t``."""
        # bisect reads 30 of a hundred million times; NumPy's search would copy the complete column.
        return bisect_left(self._t, max(t, 0))

    def _part(self, first: int, last: int, start: int, stop: int) -> Events:
        events = unpack(np.asarray(self._events[first:last]))
        outside = len(events) and (events.t[0] < start or events.t[-1] >= stop)
        if not events.ordered or outside:
            raise self._unordered(int(_step_back(events.t)))
        return events


def unpack(records: np.ndarray) -> Events:
    """Decodes DAT's records of eight bytes into events."""
    word = records["xyp"]
    x = (word & _COORDINATE).astype(np.int32)
    y = (word >> 14 & _COORDINATE).astype(np.int32)
    return Events(records["t"].astype(np.int64), x, y, (word >> 28 & 1).astype(np.uint8))


def pack(events: Events) -> np.ndarray:
    """Encodes events as DAT's records of eight bytes.

    Raises:
        UserError: a time, coordinate or polarity does not fit into a record.
    """
    for name, most in (("t", 2**32 - 1), ("x", _COORDINATE), ("y", _COORDINATE), ("p", 1)):
        values = getattr(events, name)
        if len(values) and not 0 <= values.min() <= values.max() <= most:
            raise UserError(
                f"{name} ranges from {values.min()} to {values.max()}: DAT stores 0 to {most}"
            )
    records = np.empty(len(events), _EVENT)
    records["t"] = events.t
    x, y, p = (v.astype(np.uint32) for v in (events.x, events.y, events.p))
    records["xyp"] = x | y << 14 | p << 28
    return records


def write_dat(path: str | Path, events: Events, size: tuple[int, int]) -> None:
    """Writes events of a sensor of ``size`` (height, width) to a DAT file, in their given order.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import DatFile, Events, write_dat
        >>> t, x, y, p = np.array([[10, 20], [3, 4], [0, 1], [1, 0]])
        >>> write_dat("recording.dat", Events(t, x, y, p), size=(4, 6))
        >>> file = DatFile("recording.dat")
        >>> len(file), file.size
        (2, (4, 6))
    """
    header = f"% Data file containing Event2D events.\n% Version 2\n% Height {size[0]}\n"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(f"{header}% Width {size[1]}\n".encode() + bytes([0, _EVENT.itemsize]))
        pack(events).tofile(file)


def sort_dat(path: str | Path, out: str | Path) -> None:
    """Sorts the events of a DAT file by time into ``out``; reads the complete file into memory.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import DatFile, Events, sort_dat, write_dat
        >>> t, x, y, p = np.array([[20, 10], [4, 3], [1, 0], [0, 1]])
        >>> write_dat("recording.dat", Events(t, x, y, p), size=(4, 6))
        >>> sort_dat("recording.dat", "sorted.dat")
        >>> DatFile("sorted.dat").window(0, 50).t.tolist()
        [10, 20]
    """
    file = DatFile(path)
    events = unpack(np.asarray(file._events)).in_order()
    write_dat(
        out,
        events,
        file.size or (int(events.y.max(initial=0)) + 1, int(events.x.max(initial=0)) + 1),
    )


def _size(words: dict[str, list[str]]) -> tuple[int, int] | None:
    try:
        return int(words["Height"][0]), int(words["Width"][0])
    except (KeyError, IndexError, ValueError):
        return None


def _step_back(t: np.ndarray) -> int:
    """Returns the first time that an earlier one follows, or else the first of all."""
    steps = np.flatnonzero(t[1:] < t[:-1])
    return int(t[steps[0]] if len(steps) else t[0])


__all__ = ["DatFile", "pack", "sort_dat", "unpack", "write_dat"]
