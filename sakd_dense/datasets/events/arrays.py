"""Recordings as NumPy arrays: small files that are read completely.

An ``.npy`` contains ``[N, 4]`` = t, x, y, p, as in PEDRo (Boretti et al., CVPRW 2023), or a
structured array with those names. An ``.npz`` contains arrays ``t``, ``x``, ``y`` and ``p``, as
SpikingJelly writes them. Times are microseconds.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import MissingFileError, UserError
from .stream import EventFile, Events

_NAMES = ("t", "x", "y", "p")


class ArrayFile(EventFile):
    """Recording in an .npy or .npz, sorted by time when it is read.

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file contains no arrays of events, is truncated, or has time stamps in
            another unit than microseconds.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._events = _read(path).in_order()
        self.begin = int(self._events.t[0]) if len(self._events) else 0

    def window(self, start: int, stop: int) -> Events:
        return self._events.between(start, stop)

    def before(self, stop: int, count: int) -> Events:
        end = int(np.searchsorted(self._events.t, stop))
        return self._events[max(end - count, 0) : end]


def load_array(path: str | Path) -> Any:
    """Reads an .npy or .npz without running code from the file.

    Returns:
        The array of an .npy, or the arrays of an .npz as a dict by name.

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file cannot be read.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"there is no file {str(path)!r}")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return dict(loaded)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a readable array ({error}): the file is truncated or of another "
            "format; download it again"
        ) from error


def _read(path: str | Path) -> Events:
    loaded = load_array(path)
    names = loaded.dtype.names or () if isinstance(loaded, np.ndarray) else tuple(loaded)
    if set(_NAMES) <= set(names):
        columns = [np.asarray(loaded[name]) for name in _NAMES]
    elif isinstance(loaded, np.ndarray) and loaded.ndim == 2 and loaded.shape[1] == 4:
        columns = list(loaded.T)
    else:
        what = f"shape {loaded.shape}" if isinstance(loaded, np.ndarray) else f"arrays {names}"
        raise UserError(
            f"{path} contains no events ({what}): it must hold [N, 4] = t, x, y, p or the arrays "
            f"{_NAMES}"
        )
    t, x, y, p = columns
    times = _microseconds(path, t)
    return Events(times, x.astype(np.int32), y.astype(np.int32), (p > 0).astype("u1"))


def _microseconds(path: str | Path, t: np.ndarray) -> np.ndarray:
    """Returns time stamps ``[N]`` int64.

    Raises:
        UserError: the time stamps cannot be microseconds.
    """
    if t.dtype.kind not in "iuf" or not np.isfinite(t).all():
        found = f"have the type {t.dtype}" if t.dtype.kind not in "iuf" else "are not all finite"
    elif t.dtype.kind == "f" and (t != np.floor(t)).any():
        found = f"are fractions, such as {t[t != np.floor(t)][0]:g}"
    elif len(t) and t.min() < 0:
        found = f"are negative, such as {t.min():g}"
    else:
        return t.astype(np.int64)
    raise UserError(
        f"{path}: time stamps must be whole microseconds from 0 on, but those of this file "
        f"{found}. If they are seconds, write np.round(t * 1e6).astype('int64'); milliseconds need "
        "a factor of 1e3"
    )


__all__ = ["ArrayFile", "load_array"]
