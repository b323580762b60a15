"""Errors that name missing or damaged data, or a full disk."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from ..config.types import DATALOADERS, dicts
from ..runtime.errors import MissingFileError, UserError
from ..runtime.files import is_full
from .annotations import coco_fault

# Modules in which upstream reads annotations. A failure elsewhere has another cause.
_READERS = ("pycocotools", "mmdet/datasets", "mmengine/dataset", "mmdet/evaluation")


@contextmanager
def data_and_disk_named(cfg: Config) -> Iterator[None]:
    """Converts errors of bad data and of a full disk inside the block into a :class:`UserError`.

    Raises:
        MissingFileError: a file under a ``data_root`` or of an ``ann_file`` is missing.
        UserError: an annotation file is not in COCO's format or has none of the data set's classes,
            no image of a data set is left, or the disk is full.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_full(error):
            raise UserError(
                f"the disk or the quota is full: {error}. The existing checkpoints are intact. "
                "Free some space and run the command again (for training: with --resume)"
            ) from error
        missing = _missing_data(cfg, error)
        if missing is not None:
            raise MissingFileError(missing) from error
        fault = _annotation_fault(cfg, error)
        if fault is not None:
            raise UserError(fault) from error
        raise


def _missing_data(cfg: Config, error: Exception) -> str | None:
    name = getattr(error, "filename", None)
    missing = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR)
    if not missing or not isinstance(name, str | os.PathLike):
        return None
    file = os.fspath(name)
    found = [
        (len(place), loader, dataset)
        for loader in DATALOADERS
        for dataset in dicts(cfg.get(loader) or {})
        for place in (dataset.get("data_root"), dataset.get("ann_file"))
        if isinstance(place, str) and place and file.startswith(place)
    ]
    if not found:
        return None
    # The folder of one data set may contain that of another; the longest match is the right one.
    _, loader, dataset = max(found, key=lambda entry: entry[0])
    return (
        f"data: {file} does not exist ({loader}: {dataset.get('type', 'data set')}, "
        f"data_root={dataset.get('data_root')!r}): put the data there, or set its path with "
        "--cfg-options"
    )


def _annotation_fault(cfg: Config, error: BaseException) -> str | None:
    """Describes a fault of the annotation files of ``cfg``, if ``error`` comes from reading them.

    The files are checked only after a run has failed: reading COCO's annotations takes 10 s.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    places = [Path(frame.f_code.co_filename).as_posix() for frame in frames]
    if not any(reader in place for place in places for reader in _READERS):
        return None
    for name in (*DATALOADERS, "val_evaluator", "test_evaluator"):
        parts = list(dicts(cfg.get(name) or {}))
        masks = any(part.get("with_mask") for part in parts)
        for part in parts:
            file = part.get("ann_file")
            if isinstance(file, str) and file.endswith(".json"):
                file = Path(part.get("data_root") or "", file)
                fault = coco_fault(file, masks, _classes(part))
                if fault is not None:
                    return fault
    for frame in frames:  # MMEngine concatenates an empty list
        dataset: Any = frame.f_locals.get("self")
        if frame.f_code.co_name == "_serialize_data" and not getattr(dataset, "data_list", True):
            return (
                f"{dataset.ann_file}: {type(dataset).__name__} has no image left: check its boxes, "
                f"filter_cfg={dataset.filter_cfg!r} and indices"
            )
    return None


def _classes(part: Mapping[str, Any]) -> Sequence[str] | None:
    """Returns the classes of the data set that ``part`` configures, or None if it has none.

    The result is also None if ``part`` does not configure a data set.
    """
    metainfo = part.get("metainfo") or {}
    kind = DATASETS.get(part.get("type")) if isinstance(part.get("type"), str) else None
    return metainfo.get("classes", getattr(kind, "METAINFO", {}).get("classes"))


__all__ = ["data_and_disk_named"]
