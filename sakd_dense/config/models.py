"""The model, the test set and the initial checkpoints of a config."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from typing import Any

from ..runtime.errors import UserError
from .types import LOADERS, dicts, type_name


def initial_checkpoints(model_cfg: MutableMapping[str, Any]) -> list[str]:
    """Returns the checkpoints that the initialisation of a model and its parts would load.

    Example:
        >>> from sakd_dense.config import initial_checkpoints
        >>> init = dict(type="Pretrained", checkpoint="torchvision://resnet50")
        >>> initial_checkpoints(dict(backbone=dict(type="ResNet", init_cfg=init)))
        ['torchvision://resnet50']
    """
    files = []
    for d in dicts(model_cfg):
        if type_name(d.get("type")) in LOADERS and isinstance(d.get("checkpoint"), str):
            files.append(d["checkpoint"])
        if isinstance(d.get("pretrained"), str):
            files.append(d["pretrained"])
    return files


def without_checkpoints(model_cfg: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Returns a deep copy of a model's config whose initialisation loads no checkpoint.

    Example:
        >>> from sakd_dense.config import without_checkpoints
        >>> without_checkpoints(dict(type="Model", pretrained="resnet50.pth"))
        {'type': 'Model', 'pretrained': None}
    """
    model = copy.deepcopy(model_cfg)
    drop_checkpoints(model)
    return model


def drop_checkpoints(cfg: Any) -> None:
    """Does the same as :func:`without_checkpoints`, in place."""
    for d in dicts(cfg):
        if isinstance(d.get("pretrained"), str):
            d["pretrained"] = None
        init = d.get("init_cfg")
        if isinstance(init, MutableMapping) and type_name(init.get("type")) in LOADERS:
            d["init_cfg"] = None
        elif isinstance(init, list | tuple):
            d["init_cfg"] = [i for i in init if type_name(i.get("type")) not in LOADERS] or None


def with_preprocessor(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``cfg.model`` with the data_preprocessor that mmpretrain's configs keep beside it.

    Example:
        >>> from sakd_dense.config import with_preprocessor
        >>> with_preprocessor(dict(model=dict(type="Model"), data_preprocessor=dict(mean=[0.5])))
        {'type': 'Model', 'data_preprocessor': {'mean': [0.5]}}
    """
    model = dict(cfg["model"])
    if cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", cfg["data_preprocessor"])
    return model


def test_dataset_of(cfg: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """Returns the config (not a copy) of the data set that ``cfg.test_dataloader`` reads.

    Raises:
        UserError: the config has no test set.

    Example:
        >>> from sakd_dense.config import test_dataset_of
        >>> test_dataset_of(dict(test_dataloader=dict(dataset=dict(type="BCCDDataset"))))
        {'type': 'BCCDDataset'}
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset")
    if not dataset:
        raise _incomplete(cfg, "test_dataloader")
    return dataset


def check_test_loop(cfg: Mapping[str, Any]) -> None:
    """Checks that MMEngine's runner can test a complete config.

    Raises:
        UserError: the config has no test set, no ``test_evaluator`` or no ``test_cfg``.

    Example:
        >>> from sakd_dense.config import check_test_loop
        >>> check_test_loop(dict(model=dict(type="RetinaNet")))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        sakd_dense.runtime.errors.UserError: config: test_dataloader is missing or None, ...
    """
    test_dataset_of(cfg)
    for key in ("test_evaluator", "test_cfg"):
        if cfg.get(key) is None:
            raise _incomplete(cfg, key)


def _incomplete(cfg: Mapping[str, Any], key: str) -> UserError:
    name = getattr(cfg, "filename", None)
    return UserError(
        f"config{f' {name}' if name else ''}: {key} is missing or None, so there is no test set to "
        "run; set test_dataloader, test_evaluator and test_cfg (often those of validation: "
        "test_dataloader = val_dataloader)"
    )
