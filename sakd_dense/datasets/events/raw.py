"""Prophesee's RAW files of EVT 2.0 and EVT 3.0, read by window.

The meaning of a word depends on the words before it, and the clock of EVT 3.0 restarts every
16.8 s, so an event cannot be found by search. The reader therefore goes through a file once, part
by part, and keeps the decoder's state at the beginning of each part. A window then decodes only
its own parts.
"""

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...runtime.errors import UserError
from . import evt2, evt3
from .stream import EventFile, Events, header_of

_FORMATS: dict[str, ModuleType] = {"2": evt2, "3": evt3}


class RawFile(EventFile):
    r"""RAW file of EVT 2.0 or 3.0.

    Args:
        path: path of the file, ``*.raw``.
        part: number of words that are decoded at once.

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file has another format, or is truncated.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from sakd_dense.datasets import RawFile
        >>> words = np.array([8 << 28 | 2, 1 << 28 | 5 << 22 | 3 << 11 | 7], "<u4")
        >>> _ = Path("recording.raw").write_bytes(b"% evt 2.0\n% end\n" + words.tobytes())
        >>> RawFile("recording.raw").window(0, 1000).t.tolist()
        [133]
    """

    def __init__(self, path: str | Path, part: int = 1 << 16) -> None:
        lines, at = header_of(path)
        text = "\n".join(lines)
        self._format: Any = _FORMATS.get(_version(text))
        if self._format is None:
            raise UserError(
                f"{path}: RAW of {_describe_format(text)} is not supported, only EVT 2.0 and 3.0. "
                "Convert the file to DAT (metavision_file_to_dat)"
            )
        super().__init__(path, _size(text))
        count, rest = divmod(os.path.getsize(path) - at, self._format.WORD.itemsize)
        if rest:
            raise UserError(
                f"{path} ends within a word (after {count} words and {rest} bytes): the file is "
                "truncated; download it again"
            )
        kind = self._format.WORD
        self._words = np.memmap(path, kind, "r", at, (count,)) if count else np.zeros(0, kind)
        self._part = part
        self._states: list[Any] = []
        self._begun: np.ndarray | None = None

    def window(self, start: int, stop: int) -> Events:
        first, last = np.searchsorted(self._times(), (start, stop))
        # A part begins before its first event. Decode one more part on each side: cameras disorder
        # events by some microseconds, so neighbouring parts overlap.
        wanted = range(max(int(first) - 2, 0), min(int(last) + 1, len(self._times())))
        return Events.joined([self._decoded(i).between(start, stop) for i in wanted]).in_order()

    def before(self, stop: int, count: int) -> Events:
        parts: list[Events] = []
        last = int(np.searchsorted(self._times(), stop)) + 1
        for i in reversed(range(min(last, len(self._times())))):
            events = self._decoded(i)
            parts.insert(0, events[events.t < stop])
            if sum(map(len, parts[1:])) >= count:
                break
        events = Events.joined(parts).in_order()
        return events[max(len(events) - count, 0) :]

    def _times(self) -> np.ndarray:
        """Returns each part's first time in microseconds; the first call reads the full file."""
        if self._begun is None:
            state = self._format.State()
            for begin in range(0, len(self._words), self._part):
                self._states.append(state)
                state = self._format.advance(self._words[begin : begin + self._part], state)
            times = np.array([s.t for s in self._states], dtype=np.int64)
            self._begun = np.maximum.accumulate(times)
        return self._begun

    def _decoded(self, i: int) -> Events:
        words = np.asarray(self._words[i * self._part : (i + 1) * self._part])
        return self._format.decode(words, self._states[i])


def _version(header: str) -> str:
    found = re.search(r"^(?:evt |format EVT)([\d.]+)", header, re.MULTILINE)
    return found[1].removesuffix(".0") if found else ""


def _describe_format(header: str) -> str:
    found = re.search(r"^(?:evt|format) .*", header, re.MULTILINE)
    return found[0] if found else "an unknown format"


def _size(header: str) -> tuple[int, int] | None:
    if found := re.search(r"^geometry (\d+)x(\d+)", header, re.MULTILINE):
        return int(found[2]), int(found[1])
    sides = [re.search(rf"\b{side}=(\d+)", header) for side in ("height", "width")]
    height, width = (int(s[1]) if s else 0 for s in sides)
    return (height, width) if height and width else None


__all__ = ["RawFile"]
