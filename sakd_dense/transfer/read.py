"""Reads a checkpoint without running what is in it.

``torch.load`` unpickles, and a pickle can run anything. MMEngine loads with ``weights_only=True``
but falls back to unpickling everything when that fails, so a checkpoint of a stranger is read
here, where it cannot. What an MMEngine checkpoint holds beside its weights (log histories, numpy
scalars) is let in by name; the histories become inert placeholders.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runtime.errors import UserError
from .fetch import local_file

#: Where the weights lie in a checkpoint, best first. An averaged model (EMA) is the one that its
#: author evaluated. MMEngine's EMAHook puts the average under ``state_dict`` itself.
WEIGHT_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "net", "module")
#: Prefixes that a wrapper puts before every key (DDP and averaged models, ``torch.compile``).
WRAPPERS = ("module.", "_orig_mod.")
#: Counters of averaged models; no weights of anything.
COUNTERS = ("steps", "n_averaged")
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class _Inert:
    """Takes the place of a class that is of no use to weights."""

    def __setstate__(self, state: Any) -> None:
        pass


def _nothing(*args: Any) -> None:
    """Takes the place of a function that a pickle calls."""


def _safe_globals() -> list[Any]:
    core = np._core if hasattr(np, "_core") else np.core
    safe: list[Any] = [slice, np.ndarray, np.dtype]
    safe += [type(np.dtype(name)) for name in ("bool", "int32", "int64", "uint8", "uint32")]
    safe += [type(np.dtype(name)) for name in ("float16", "float32", "float64")]
    for module in ("numpy._core.multiarray", "numpy.core.multiarray"):
        safe.append((core.multiarray._reconstruct, f"{module}._reconstruct"))
        safe.append((core.multiarray.scalar, f"{module}.scalar"))
    safe.append((_Inert, "mmengine.logging.history_buffer.HistoryBuffer"))
    # HistoryBuffer pickles its methods through getattr: never the real one.
    safe += [(_nothing, f"{module}.getattr") for module in ("builtins", "__builtin__")]
    return safe


def load_safely(path: str | os.PathLike[str]) -> Any:
    """What ``torch.save`` (or safetensors) wrote to ``path``, on the CPU, without unpickling.

    Args:
        path: a local file, a URL, or a name such as ``torchvision://resnet50``,
            ``open-mmlab://...``, ``mmcls://...`` (downloaded once, see ``fetch.py``).

    Raises:
        MissingFileError: there is no such file.
        UserError: the file is cut short, is no checkpoint, or holds objects that loading would
            have to execute.
    """
    file = local_file(path)
    if file.suffix == ".safetensors":
        return _load_safetensors(file)
    try:
        with torch.serialization.safe_globals(_safe_globals()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if _is_pickle_of_objects(str(error)):
            raise UserError(_refused(file, str(error))) from error
        raise UserError(_unreadable(file, error)) from error
    except Exception as error:  # a damaged file fails anywhere in the reader, with any error
        raise UserError(_unreadable(file, error)) from error


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
        f"checkpoint {file} holds more than weights{what}. Unpickling that could run code of "
        "whoever wrote the file, so it was not loaded. If you trust it, keep its weights alone: "
        f'python -c "{keep}"'
    )


def _unreadable(file: Path, error: Exception) -> str:
    size = file.stat().st_size
    return (
        f"checkpoint {file} ({size} bytes) cannot be read: it is cut short or not a PyTorch "
        f"checkpoint. Copy or download it again. ({type(error).__name__}: {str(error)[:200]})"
    )


def read_state_dict(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in a checkpoint, and what it says about them.

    Containers (``state_dict``, ``model``, ``model_ema`` ...) are opened and the prefixes of
    wrappers (``module.``) are stripped; no other key is touched.

    Args:
        path: as in :func:`load_safely`.

    Returns:
        The tensors by name, and the checkpoint's ``meta`` (empty where it has none).

    Raises:
        MissingFileError, UserError: as :func:`load_safely`, and if there are no weights.
    """
    checkpoint = load_safely(path)
    if not isinstance(checkpoint, Mapping):
        raise UserError(
            f"checkpoint {path} holds a {type(checkpoint).__name__}, not a dict of weights: save "
            "a model's state_dict()"
        )
    meta = checkpoint.get("meta")
    weights: Any = checkpoint
    for key in WEIGHT_KEYS:
        if isinstance(checkpoint.get(key), Mapping):
            weights = checkpoint[key]
            break
    tensors = {str(k): v for k, v in weights.items() if isinstance(v, Tensor)}
    tensors = _unwrapped(tensors)
    if not tensors:
        held = ", ".join(map(str, list(checkpoint)[:8])) or "nothing"
        raise UserError(
            f"checkpoint {path} holds no weights; its keys: {held}. Looked under "
            f"{', '.join(WEIGHT_KEYS)} and at the top."
        )
    return tensors, dict(meta) if isinstance(meta, Mapping) else {}


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """``module.backbone.conv1.weight`` -> ``backbone.conv1.weight``, where every key has it."""
    while True:
        named = {k: v for k, v in tensors.items() if k not in COUNTERS}
        wrapper = next((w for w in WRAPPERS if named and all(k.startswith(w) for k in named)), None)
        if wrapper is None:
            return tensors
        tensors = {k.removeprefix(wrapper): v for k, v in named.items()}


def verify_checkpoint(path: str | os.PathLike[str]) -> None:
    """Check that ``path`` can be loaded without executing anything, before MMEngine loads it.

    MMEngine falls back to unpickling what a safe load refuses; a tool that calls this first never
    gets there.

    Raises:
        MissingFileError, UserError: as :func:`read_state_dict`.
    """
    read_state_dict(path)


__all__ = ["load_safely", "read_state_dict", "verify_checkpoint"]
