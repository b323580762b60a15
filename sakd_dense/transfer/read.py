"""Safe reading of checkpoints, without running code that they contain.

``torch.load`` unpickles, and a pickle can run any code. MMEngine loads with ``weights_only=True``
but falls back to unpickling everything if that fails. This module has no such fallback, so it can
read a stranger's checkpoint. Objects that an MMEngine checkpoint holds beside its weights (log
histories, numpy scalars) are allowed by name; the histories become inert placeholders.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

from ..runtime.errors import UserError
from .fetch import local_file
from .weights import Checkpoint, open_checkpoint

#: Checkpoint argument of functions that load weights.
Source = str | os.PathLike[str] | Checkpoint
#: Content that was verified and is kept for the next reader: file -> (stamp, content).
_verified: dict[Path, tuple[tuple[int, ...], Any]] = {}
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class _Inert:
    """Placeholder for MMEngine's ``HistoryBuffer``, which only a resumed run needs."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _nothing(*args: Any) -> None:
    """Does nothing; replaces a function that a pickle calls."""


def _safe_globals() -> list[Any]:
    # NumPy 1.26 has a numpy._core too, but an empty one.
    core = getattr(np, "_core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "core")
    safe: list[Any] = [slice, np.ndarray, np.dtype]
    safe += [type(np.dtype(name)) for name in ("bool", "int32", "int64", "uint8", "uint32")]
    safe += [type(np.dtype(name)) for name in ("float16", "float32", "float64")]
    for module in ("numpy._core.multiarray", "numpy.core.multiarray"):
        safe.append((core.multiarray._reconstruct, f"{module}._reconstruct"))
        safe.append((core.multiarray.scalar, f"{module}.scalar"))
    safe.append((_Inert, "mmengine.logging.history_buffer.HistoryBuffer"))
    # HistoryBuffer pickles its methods through getattr, but the real one must never be called.
    safe += [(_nothing, f"{module}.getattr") for module in ("builtins", "__builtin__")]
    return safe


def load_safely(path: str | os.PathLike[str]) -> Any:
    """Reads a file of ``torch.save`` or safetensors to the CPU, without running code from it.

    Args:
        path: a local file, a URL, or a name such as ``torchvision://resnet50``,
            ``open-mmlab://...``, ``mmcls://...`` (downloaded once, see ``fetch.py``).

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file is truncated or damaged, is not a checkpoint, or holds objects whose
            loading would run code.

    Example:
        >>> import torch
        >>> from sakd_dense.transfer import load_safely
        >>> torch.save(dict(state_dict=dict(w=torch.ones(2))), "c.pth")
        >>> load_safely("c.pth")["state_dict"]["w"]
        tensor([1., 1.])
    """
    file = local_file(path)
    stamp, content = _verified.pop(file.resolve(), (None, None))
    if stamp == _stamp(file):
        return content
    if file.suffix == ".safetensors":
        return _load_safetensors(file)
    try:
        opened = io.BytesIO(file.read_bytes())  # read once, for the checksums and the content
        _check_sums(opened)
        with torch.serialization.safe_globals(_safe_globals()):
            return torch.load(opened, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if _is_pickle_of_objects(str(error)):
            raise UserError(_refused(file, str(error))) from error
        raise UserError(_unreadable(file, error)) from error
    except Exception as error:  # a damaged file can fail anywhere in the reader, with any error
        raise UserError(_unreadable(file, error)) from error


def keep_verified(path: str | os.PathLike[str], content: Any) -> None:
    """Keeps ``content`` of a file for the next call of :func:`load_safely` with the same file.

    After that nothing is kept. A file that has changed in the meantime is read again.
    """
    file = local_file(path)
    _verified[file.resolve()] = _stamp(file), content


def resumable(content: Any) -> Any:
    """Returns the content of a run's checkpoint with MMEngine's histories instead of placeholders.

    Args:
        content: result of :func:`load_safely`, changed in place.
    """
    hub = content.get("message_hub") if isinstance(content, dict) else None
    scalars: dict[str, Any] = (hub.get("log_scalars") or {}) if isinstance(hub, dict) else {}
    for name, history in scalars.items():
        if isinstance(history, _Inert):
            state = vars(history).get("state") or {}
            logged = [state.get(f"_{part}_history", ()) for part in ("log", "count")]
            scalars[name] = HistoryBuffer(*logged, max_length=state.get("_max_length", 1_000_000))
    return content


def _check_sums(file: BinaryIO) -> None:
    """Raises an error if bytes of a checkpoint have changed, which PyTorch does not check.

    Every record of the zip archive has a checksum. After
    ``torch.serialization.set_crc32_options(False)`` the checksums of records with weights are all
    wrong. Such a file is not damaged, and no error is raised.
    """
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return  # a file of PyTorch before 1.6
    wrong, right = [], 0
    with zipfile.ZipFile(file) as opened:
        for record in opened.infolist():
            try:
                with opened.open(record) as content:
                    while content.read(2**20):
                        pass
            except zipfile.BadZipFile:
                wrong.append(record.filename)
            else:
                right += record.file_size > 64
    file.seek(0)
    if wrong and right:
        raise zipfile.BadZipFile(f"the checksum of {wrong[0]} does not match: bytes have changed")


def _stamp(file: Path) -> tuple[int, ...]:
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _load_safetensors(file: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            record = json.loads((opened.metadata() or {}).get("sakd_dense", "{}"))
    except (SafetensorError, ValueError) as error:
        raise UserError(_unreadable(file, error)) from error
    return {"state_dict": weights, "meta": record}


def _is_pickle_of_objects(reason: str) -> bool:
    return any(word in reason for word in ("GLOBAL", "REDUCE", "reduce", "Can only build"))


def _refused(file: Path, reason: str) -> str:
    named = _GLOBAL.search(reason)
    what = f", an object of {named[1]}" if named else ""
    keep = (
        "import torch; w = torch.load('IN.pth', weights_only=False)['state_dict']; "
        "torch.save({'state_dict': w}, 'OUT.pth')"
    )
    return (
        f"checkpoint {file} holds more than weights{what}. Unpickling it could run code "
        "from the author of the file, so it was not loaded. If you trust it, extract its weights: "
        f'python -c "{keep}"'
    )


def _unreadable(file: Path, error: Exception) -> str:
    size = file.stat().st_size
    return (
        f"checkpoint {file} ({size} bytes) cannot be read: the file is truncated or not a PyTorch "
        f"checkpoint. Copy or download it again. ({type(error).__name__}: {str(error)[:200]})"
    )


def read_checkpoint(source: Source, weights: str = "auto") -> Checkpoint:
    """Reads the weights of a checkpoint and their metadata.

    Containers (``state_dict``, ``model``, ``model_ema`` ...) are opened and the prefixes of
    wrappers (``module.``) are stripped. With ``weights='auto'`` no other key is changed.

    Args:
        source: a path as in :func:`load_safely`, or a :class:`Checkpoint`, which is returned
            unchanged.
        weights: set of weights to read, if there are several (see
            :mod:`sakd_dense.transfer.weights`): ``'ema'``, ``'raw'``, ``'auto'`` (default), or the
            name of one of the checkpoint's models, such as ``'student'``.

    Raises:
        MissingFileError, UserError: as in :func:`load_safely`, and if the checkpoint has no such
            weights.

    Example:
        >>> import torch
        >>> from sakd_dense.transfer import read_checkpoint
        >>> torch.save(dict(state_dict={"module.w": torch.ones(2)}), "c.pth")
        >>> list(read_checkpoint("c.pth").state)
        ['w']
    """
    if isinstance(source, Checkpoint):
        return source
    return open_checkpoint(load_safely(source), os.fspath(source), weights)


def read_state_dict(source: Source) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors by name and the ``meta`` of :func:`read_checkpoint`.

    Example:
        >>> import torch
        >>> from sakd_dense.transfer import read_state_dict
        >>> torch.save(dict(state_dict={"w": torch.ones(2)}, meta=dict(epoch=12)), "c.pth")
        >>> read_state_dict("c.pth")
        ({'w': tensor([1., 1.])}, {'epoch': 12})
    """
    checkpoint = read_checkpoint(source)
    return checkpoint.state, checkpoint.meta


def verify_checkpoint(path: str | os.PathLike[str], keep: bool = False) -> None:
    """Checks that ``path`` can be loaded without running code, before MMEngine loads it.

    MMEngine falls back to unpickling a file that a safe load refuses. A tool that calls this
    function first never reaches the fallback.

    Args:
        path: as in :func:`load_safely`.
        keep: whether to keep the content, without the optimizer's state, for the next function
            of this package that reads the same file (:func:`keep_verified`). Default: False.

    Raises:
        MissingFileError, UserError: as in :func:`read_checkpoint`.

    Example:
        >>> import torch
        >>> from sakd_dense.transfer import verify_checkpoint
        >>> torch.save(dict(state_dict={}), "empty.pth")
        >>> verify_checkpoint("empty.pth")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        sakd_dense.runtime.errors.UserError: checkpoint empty.pth holds no weights under ...
    """
    content = load_safely(path)
    open_checkpoint(content, os.fspath(path))
    if keep:
        keep_verified(path, {k: v for k, v in content.items() if k != "optimizer"})


__all__ = [
    "Checkpoint",
    "Source",
    "keep_verified",
    "load_safely",
    "read_checkpoint",
    "read_state_dict",
    "resumable",
    "verify_checkpoint",
]
