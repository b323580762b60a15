"""The types of models, backbones and parts in a config, and functions that find them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, MutableMapping
from typing import Any

from ..runtime.errors import UserError

#: Backbones whose spiking twins have their own forward and exist with both prefixes.
ANN_TYPES = ("ResNet", "ResNetV1c", "ResNetV1d", "ResNeXt", "ResNet_CIFAR")
#: Spiking backbone -> ANN twin, for backbones that run upstream's forward and have one prefix;
#: :mod:`sakd_dense.backbones` fills it.
BACKBONE_TWINS: dict[str, str] = {}
#: Prefixes of the types of spiking backbones.
PREFIXES = ("Spiking", "SEW")
#: Types of norms whose statistics cover all processes; they do not run on CPUs.
SYNCED_NORMS = ("SyncBN", "MMSyncBN", "SyncBatchNorm")
#: Arguments that only the spiking twin takes.
SPIKING_ARGS = ("time_steps", "neuron", "connect", "output")
#: Spiking neck or head -> the arguments of its ANN twin; :mod:`sakd_dense.parts` fills it. The dict
#: is empty for parts that name their twin: ``dict(type='SpikingNeck', of='FPN', ...)``.
PART_TWINS: dict[str, dict[str, Any]] = {}
#: Preprocessors of event frames, whose argument ``time`` defines the handling of the time axis.
EVENT_PREPROCESSORS = (
    "EventDataPreprocessor",
    "EventDetDataPreprocessor",
    "EventSegDataPreprocessor",
)
#: Initialisers that load a checkpoint.
LOADERS = ("Pretrained", "SAKDTransfer")
DATALOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def type_name(kind: Any) -> str:
    """Returns the bare name of a type: the last part of a dotted path, or the name of a class.

    Example:
        >>> from sakd_dense.config import type_name
        >>> type_name("mmdet.ResNet")
        'ResNet'
    """
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))).split(".")[-1]


def _scope(kind: Any) -> str | None:
    path = f"{kind.__module__}.{kind.__name__}" if inspect.isclass(kind) else str(kind)
    return path.split(".")[0] if "." in path else None


def package_of(kind: Any) -> str | None:
    """Returns the OpenMMLab package that a class, or the dotted path of one, comes from.

    For a class, the packages of its base classes count as well.
    """
    if inspect.isclass(kind):
        paths = [base.__module__ for base in kind.__mro__]
    else:  # pure Python configs that a run wrote hold dotted paths
        paths = [kind] if isinstance(kind, str) and "." in kind else []
    roots = (path.partition(".")[0] for path in paths)
    return next((root for root in roots if root in ("mmdet", "mmseg", "mmpretrain")), None)


def class_scope(cfg: Any) -> str | None:
    """Returns the package of the first type in ``cfg`` that has one, see :func:`package_of`."""
    packages = (package_of(d.get("type")) for d in dicts(cfg))
    return next((package for package in packages if package is not None), None)


def ann_type(kind: Any) -> str | None:
    """Returns the type of the ANN twin, or None if ``kind`` is not one of our spiking backbones.

    Example:
        >>> from sakd_dense.config import ann_type
        >>> ann_type("SEWResNetV1c"), ann_type("ResNet")
        ('ResNetV1c', None)
    """
    name = type_name(kind)
    for prefix in PREFIXES:
        if name.startswith(prefix) and name.removeprefix(prefix) in ANN_TYPES:
            return name.removeprefix(prefix)
    return BACKBONE_TWINS.get(name)


def ann_types() -> tuple[str, ...]:
    """Returns the type of every backbone that has a spiking twin."""
    return (*ANN_TYPES, *BACKBONE_TWINS.values())


def dicts(cfg: Any) -> Iterator[MutableMapping[str, Any]]:
    """Yields every dict in ``cfg``, the outermost first."""
    if isinstance(cfg, MutableMapping):
        yield cfg
        for value in list(cfg.values()):
            yield from dicts(value)
    elif isinstance(cfg, list | tuple):
        for value in cfg:
            yield from dicts(value)


def _has_type(cfg: Any) -> bool:
    return isinstance(cfg, MutableMapping) and cfg.get("type") is not None


def spiking_backbone_cfgs(cfg: Any) -> list[MutableMapping[str, Any]]:
    """Returns the configs (not copies) of all spiking backbones in ``cfg``.

    Example:
        >>> from sakd_dense.config import spiking_backbone_cfgs
        >>> model = dict(type="RetinaNet", backbone=dict(type="SEWResNet", depth=18))
        >>> [b["depth"] for b in spiking_backbone_cfgs(model)]
        [18]
    """
    return [d for d in dicts(cfg) if _has_type(d) and ann_type(d["type"])]


def spiking_part_cfgs(cfg: Any) -> list[MutableMapping[str, Any]]:
    """Returns the configs (not copies) of all spiking necks and heads in ``cfg``."""
    return [d for d in dicts(cfg) if _has_type(d) and type_name(d["type"]) in PART_TWINS]


def ann_backbone_cfgs(model: Any) -> list[MutableMapping[str, Any]]:
    """Returns the configs (not copies) of all backbones in ``model`` that have a spiking twin.

    Raises:
        UserError: the model has no such backbone; the message names the one that it has.
    """
    named = [d["backbone"] for d in dicts(model) if _has_type(d.get("backbone"))]
    known = [b for b in named if type_name(b["type"]) in ann_types()]
    if known:
        return known
    listed = ", ".join(ann_types())
    model_type = type_name(model.get("type"))
    if not named:
        raise UserError(
            f"the model {model_type!r} has no backbone that could be made spiking; the known ones "
            f"are {listed}"
        )
    kinds = ", ".join(repr(type_name(b["type"])) for b in named)
    raise UserError(
        f"the model {model_type!r} has the backbone {kinds}, which has no spiking twin; the known "
        f"ones are {listed}"
    )
