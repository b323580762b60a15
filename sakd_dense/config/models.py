"""What a config says of its model: the preprocessor beside it, and the checkpoints it loads."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from typing import Any

from .types import LOADERS, dicts, type_name


def initial_checkpoints(model_cfg: MutableMapping[str, Any]) -> list[str]:
    """The checkpoints that the initialisation of a model and its parts would load."""
    files = []
    for d in dicts(model_cfg):
        if type_name(d.get("type")) in LOADERS and isinstance(d.get("checkpoint"), str):
            files.append(d["checkpoint"])
        if isinstance(d.get("pretrained"), str):
            files.append(d["pretrained"])
    return files


def without_checkpoints(model_cfg: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A deep copy of a model's config whose initialisation loads no checkpoint."""
    model = copy.deepcopy(model_cfg)
    drop_checkpoints(model)
    return model


def drop_checkpoints(cfg: Any) -> None:
    """As :func:`without_checkpoints`, in place."""
    for d in dicts(cfg):
        if isinstance(d.get("pretrained"), str):
            d["pretrained"] = None
        init = d.get("init_cfg")
        if isinstance(init, MutableMapping) and type_name(init.get("type")) in LOADERS:
            d["init_cfg"] = None
        elif isinstance(init, list | tuple):
            d["init_cfg"] = [i for i in init if type_name(i.get("type")) not in LOADERS] or None


def with_preprocessor(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """``cfg.model`` with the data_preprocessor that mmpretrain's configs keep beside it."""
    model = dict(cfg["model"])
    if cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", cfg["data_preprocessor"])
    return model
