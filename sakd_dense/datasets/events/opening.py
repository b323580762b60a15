"""Selection of a recording's reader by the extension of its file."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ...runtime.errors import MissingFileError, UserError
from .arrays import ArrayFile
from .dat import DatFile
from .raw import RawFile
from .stream import EventFile

READERS: dict[str, Callable[[str], EventFile]] = {
    ".dat": DatFile,
    ".raw": RawFile,
    ".npy": ArrayFile,
    ".npz": ArrayFile,
}


def open_events(path: str | Path) -> EventFile:
    """Opens the recording in ``path``.

    The last 64 files opened stay open (mapped) in this process.

    Raises:
        MissingFileError: the file does not exist.
        UserError: no reader supports its extension, or its content does not match it.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import Events, open_events, write_dat
        >>> t, x, y, p = np.array([[10, 20, 90], [3, 3, 4], [0, 0, 1], [1, 1, 0]])
        >>> write_dat("recording.dat", Events(t, x, y, p.astype(np.uint8)), size=(4, 6))
        >>> open_events("recording.dat").size
        (4, 6)
    """
    reader = READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: the format is not supported; events are read from {', '.join(READERS)}"
        )
    if not Path(path).is_file():
        raise MissingFileError(f"there is no event file {str(path)!r}")
    return _opened(str(path), Path(path).stat().st_mtime_ns, reader)


@lru_cache(maxsize=64)
def _opened(path: str, _written: int, reader: Callable[[str], EventFile]) -> EventFile:
    return reader(path)


__all__ = ["READERS", "open_events"]
