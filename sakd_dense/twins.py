"""The config of a spiking model and of its ANN twin.

The twin of a type is one word away: ``ResNet`` <-> ``SEWResNet``. Student and teacher differ in
nothing else, so the teacher need not be configured.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

#: Backbones that have a spiking twin.
ANN_TYPES = ("ResNet", "ResNetV1c", "ResNetV1d", "ResNeXt", "ResNet_CIFAR")
#: What is put before the type.
PREFIXES = ("Spiking", "SEW")
#: Arguments that only the spiking twin takes.
SPIKING_ARGS = ("time_steps", "neuron", "connect", "output", "compress_spikes")
#: The ANN twins of spiking necks and heads, with what they need; :mod:`sakd_dense.parts` fills it.
#: Empty for those that name theirs, ``dict(type='SpikingNeck', of='FPN', ...)``.
PARTS: dict[str, dict[str, Any]] = {}
#: Initialisers that load a checkpoint.
LOADERS = ("Pretrained", "SAKDTransfer")


def type_name(kind: Any) -> str:
    """``'ResNet'`` of ``'ResNet'``, ``'mmdet.ResNet'``, ``'mmdet.models...ResNet'`` or a class."""
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))).split(".")[-1]


def _scope(kind: Any) -> str | None:
    path = f"{kind.__module__}.{kind.__name__}" if inspect.isclass(kind) else str(kind)
    return path.split(".")[0] if "." in path else None


def ann_type(kind: Any) -> str | None:
    """The ANN twin's type, or None if ``kind`` is not that of a spiking backbone of ours."""
    name = type_name(kind)
    for prefix in PREFIXES:
        if name.startswith(prefix) and name.removeprefix(prefix) in ANN_TYPES:
            return name.removeprefix(prefix)
    return None


def dicts(cfg: Any) -> Iterator[MutableMapping[str, Any]]:
    """Every dict in ``cfg``, outermost first."""
    if isinstance(cfg, MutableMapping):
        yield cfg
        for value in list(cfg.values()):
            yield from dicts(value)
    elif isinstance(cfg, list | tuple):
        for value in cfg:
            yield from dicts(value)


def _has_type(cfg: Any) -> bool:
    return isinstance(cfg, MutableMapping) and cfg.get("type") is not None


def spiking_backbones(cfg: Any) -> list[MutableMapping[str, Any]]:
    """The configs (not copies) of every spiking backbone in ``cfg``."""
    return [d for d in dicts(cfg) if _has_type(d) and ann_type(d["type"])]


def ann_of(model_cfg: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A deep copy of a model's config with every spiking part turned back to its ANN twin.

    ``init_cfg`` and ``pretrained`` are None wherever they were, since a checkpoint follows.

    Raises:
        ValueError: there is no spiking backbone in it.
    """
    model = copy.deepcopy(model_cfg)
    backbones = spiking_backbones(model)
    if not backbones:
        raise ValueError(
            f"the model {type_name(model.get('type'))!r} has no spiking backbone; known are "
            f"{', '.join('SEW' + t for t in ANN_TYPES)}. Give the teacher's config: "
            "teacher=dict(checkpoint=..., config=...)"
        )
    for backbone in backbones:
        backbone["type"] = ann_type(backbone["type"])
        for name in SPIKING_ARGS:
            backbone.pop(name, None)
        if backbone.get("_scope_") == "mmpretrain" and "base_width" in backbone:
            backbone["width_per_group"] = backbone.pop("base_width")
    for d in dicts(model):
        d.update({key: None for key in ("init_cfg", "pretrained") if key in d})
        twin = PARTS.get(type_name(d.get("type")))
        if twin is not None:
            d.pop("neuron", None)
            name = d.pop("of", twin.get("type"))
            d.update({**copy.deepcopy(twin), **d, "type": name})
    return model


def sakd_hook(cfg: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """The config (not a copy) of the ``SAKDHook`` of a whole config; empty if there is none."""
    hooks = cfg.get("custom_hooks") or []
    return next((h for h in hooks if type_name(h.get("type")) == "SAKDHook"), {})


def teacher_file(cfg: Mapping[str, Any]) -> str | None:
    """The checkpoint of the teacher that a whole config names, if that file is there."""
    name = (sakd_hook(cfg).get("teacher") or {}).get("checkpoint")
    return name if name and Path(name).is_file() else None


def initial_checkpoints(model_cfg: MutableMapping[str, Any]) -> list[str]:
    """The checkpoints that the initialisation of a model and its parts would load."""
    found = []
    for d in dicts(model_cfg):
        if type_name(d.get("type")) in LOADERS and isinstance(d.get("checkpoint"), str):
            found.append(d["checkpoint"])
        if isinstance(d.get("pretrained"), str):
            found.append(d["pretrained"])
    return found


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


def ann_backbones(model: Any) -> list[MutableMapping[str, Any]]:
    """The configs (not copies) of every backbone in ``model`` that has a spiking twin.

    Raises:
        ValueError: there is none; says what stands there instead.
    """
    named = [d["backbone"] for d in dicts(model) if _has_type(d.get("backbone"))]
    known = [b for b in named if type_name(b["type"]) in ANN_TYPES]
    if known:
        return known
    listed = ", ".join(ANN_TYPES)
    model_type = type_name(model.get("type"))
    if not named:
        raise ValueError(
            f"the model {model_type!r} has no backbone that could be made spiking; known are "
            f"{listed}"
        )
    kinds = ", ".join(repr(type_name(b["type"])) for b in named)
    raise ValueError(
        f"the model {model_type!r} has the backbone {kinds}, which has no spiking twin; known "
        f"are {listed}"
    )


def spiking_of(
    model_cfg: MutableMapping[str, Any],
    time_steps: int = 4,
    default_scope: str | None = None,
    family: str = "SEW",
    **options: Any,
) -> MutableMapping[str, Any]:
    """A deep copy of a model's config with every ResNet-family backbone made spiking.

    Args:
        model_cfg: of a detector, segmentor or classifier; dicts called ``backbone`` are looked
            at, at any depth.
        time_steps: T.
        default_scope: of the whole config; mmpretrain's ResNets differ in some defaults.
        family: what is put before the type, ``'SEW'`` or ``'Spiking'``.
        options: further arguments of the backbone (``neuron``, ``connect``, ``norm_eval``, ...).

    Raises:
        ValueError: no backbone in it has a spiking twin, or there is no such family.
    """
    if family not in PREFIXES:
        raise ValueError(f"family={family!r}: take one of {PREFIXES}")
    model = copy.deepcopy(model_cfg)
    for backbone in ann_backbones(model):
        scope = _scope(backbone["type"])
        if scope is not None:
            # The spiking twin is in the root registry; the ANN is found again in its own scope.
            backbone.setdefault("_scope_", scope)
        scopes = (backbone.get("_scope_"), model.get("_scope_"), _scope(model["type"]))
        _say_defaults(backbone, {*scopes, default_scope})
        backbone["type"] = family + type_name(backbone["type"])
        backbone["time_steps"] = time_steps
        backbone.update(copy.deepcopy(options))
    return model


def _say_defaults(backbone: MutableMapping[str, Any], scopes: set[str | None]) -> None:
    # Ours are mmdet's. What differs has to be said in the config.
    if scopes & {"mmseg", "mmpretrain"} and backbone.get("base_channels", 64) != 64:
        backbone.setdefault("stem_channels", 64)
    if "mmpretrain" not in scopes:
        return
    name = type_name(backbone["type"])
    # mmpretrain gives the last stage alone; its head reads the last of what it gets, and level 2
    # teaches every stage that leaves the backbone.
    backbone["out_indices"] = _all_stages(backbone)
    if name == "ResNeXt":
        backbone.setdefault("groups", 32)
        backbone["base_width"] = backbone.pop("width_per_group", 4)
        # So that ann_of finds mmpretrain's name of that argument again.
        backbone["_scope_"] = "mmpretrain"


def _all_stages(backbone: MutableMapping[str, Any]) -> tuple[int, ...]:
    given = tuple(backbone.get("out_indices", (3,)))
    last = backbone.get("num_stages", 4) - 1
    return tuple(range(last + 1)) if given == (last,) else given


__all__ = [
    "ANN_TYPES",
    "LOADERS",
    "ann_backbones",
    "ann_of",
    "ann_type",
    "dicts",
    "drop_checkpoints",
    "initial_checkpoints",
    "sakd_hook",
    "spiking_backbones",
    "spiking_of",
    "teacher_file",
    "type_name",
    "with_preprocessor",
    "without_checkpoints",
]
