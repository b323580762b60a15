"""Conversion between the config of a spiking model and the config of its ANN twin.

The types differ only in a prefix: ``ResNet`` <-> ``SEWResNet``. Student and teacher differ in
nothing else, so the teacher needs no config.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from typing import Any

from ..runtime.errors import UserError
from .types import (
    ANN_TYPES,
    EVENT_PREPROCESSORS,
    PART_TWINS,
    PREFIXES,
    SPIKING_ARGS,
    _scope,
    ann_backbone_cfgs,
    ann_type,
    ann_types,
    dicts,
    package_of,
    spiking_backbone_cfgs,
    type_name,
)


def ann_of(model_cfg: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """Returns a deep copy of a model's config with every spiking part replaced by its ANN twin.

    Every ``init_cfg`` and ``pretrained`` becomes None, since a checkpoint is loaded later. The twin
    gets the mean over time of event frames.

    Raises:
        UserError: the model has no spiking backbone.

    Example:
        >>> from sakd_dense.config import ann_of
        >>> ann_of(dict(type="RetinaNet", backbone=dict(type="SEWResNet", depth=50, time_steps=4)))
        {'type': 'RetinaNet', 'backbone': {'type': 'ResNet', 'depth': 50}}
    """
    model: Any = copy.deepcopy(model_cfg)
    backbones = spiking_backbone_cfgs(model)
    if not backbones:
        raise UserError(
            f"the model {type_name(model.get('type'))!r} has no spiking backbone; the known ones "
            f"are {', '.join('Spiking' + t for t in ann_types())}. Give the teacher's config: "
            "teacher=dict(checkpoint=..., config=...)"
        )
    # A config whose types are classes may have no default scope in which to look up a name.
    package = package_of(model.get("type"))
    scope = {"_scope_": package} if package else {}
    for backbone in backbones:
        backbone["type"] = ann_type(backbone["type"])
        backbone.update({**scope, **backbone})
        for name in SPIKING_ARGS:
            backbone.pop(name, None)
        if backbone.get("_scope_") == "mmpretrain" and "base_width" in backbone:
            backbone["width_per_group"] = backbone.pop("base_width")
    for d in dicts(model):
        d.update({key: None for key in ("init_cfg", "pretrained") if key in d})
        if type_name(d.get("type")) in EVENT_PREPROCESSORS and d.get("time", "first") == "first":
            d["time"] = "mean"  # an ANN has no time axis
        twin = PART_TWINS.get(type_name(d.get("type")))
        if twin is not None:
            d.pop("neuron", None)
            name = d.pop("of", twin.get("type"))
            d.update({**scope, **copy.deepcopy(twin), **d, "type": name})
    return model


def spiking_of(
    model_cfg: MutableMapping[str, Any],
    time_steps: int = 4,
    default_scope: str | None = None,
    family: str | None = None,
    **options: Any,
) -> MutableMapping[str, Any]:
    """Returns a deep copy of a model's config with every convolutional backbone made spiking.

    Args:
        model_cfg: the config of a detector, segmentor or classifier. The function converts dicts
            under a key ``backbone``, at any depth.
        time_steps: number of time steps T.
        default_scope: ``default_scope`` of the complete config. The ResNets of mmpretrain have
            some other defaults.
        family: prefix of the type, ``'SEW'`` (only for ResNets) or ``'Spiking'``. None selects
            ``'SEW'`` for ResNets and ``'Spiking'`` for all other backbones.
        options: further arguments of the backbone (``neuron``, ``connect``, ``norm_eval``, ...).

    Raises:
        UserError: the model has no backbone with a spiking twin, the family is unknown, or
            ``family='SEW'`` is given for a backbone that is not a ResNet.

    Example:
        >>> from sakd_dense.config import spiking_of
        >>> model = dict(type="RetinaNet", backbone=dict(type="ResNet", depth=50))
        >>> spiking_of(model, 4)["backbone"]
        {'type': 'SEWResNet', 'depth': 50, 'time_steps': 4}
    """
    if family is not None and family not in PREFIXES:
        raise UserError(f"family={family!r}: must be one of {PREFIXES}")
    model = copy.deepcopy(model_cfg)
    for backbone in ann_backbone_cfgs(model):
        scope = _scope(backbone["type"])
        if scope is not None:
            # The spiking twin is in the root registry; `ann_of` needs the scope of the ANN.
            backbone.setdefault("_scope_", scope)
        scopes = (backbone.get("_scope_"), model.get("_scope_"), _scope(model["type"]))
        name = type_name(backbone["type"])
        if name in ANN_TYPES:
            _set_differing_defaults(backbone, {*scopes, default_scope})
        elif family == "SEW":
            raise UserError(
                f"family='SEW': SEW connects the blocks of ResNets ({', '.join(ANN_TYPES)}), and "
                f"the backbone is {name!r}; use 'Spiking', or leave it out"
            )
        backbone["type"] = (family or ("SEW" if name in ANN_TYPES else "Spiking")) + name
        backbone["time_steps"] = time_steps
        backbone.update(copy.deepcopy(options))
    for d in dicts(model):
        if type_name(d.get("type")) in EVENT_PREPROCESSORS and d.get("time") == "mean":
            d["time"] = "first"  # the ANN's input was the mean over the frames
    return model


def _set_differing_defaults(backbone: MutableMapping[str, Any], scopes: set[str | None]) -> None:
    # Our defaults are mmdet's, so the config must set those that differ.
    if scopes & {"mmseg", "mmpretrain"} and backbone.get("base_channels", 64) != 64:
        backbone.setdefault("stem_channels", 64)
    if "mmpretrain" not in scopes:
        return
    name = type_name(backbone["type"])
    # mmpretrain's backbone returns only the last stage. Its head reads the last feature map of
    # those it gets, and level 2 distills every stage that the backbone returns.
    backbone["out_indices"] = _all_stages(backbone)
    if name == "ResNeXt":
        backbone.setdefault("groups", 32)
        backbone["base_width"] = backbone.pop("width_per_group", 4)
        # `ann_of` needs the scope to restore mmpretrain's name of that argument.
        backbone["_scope_"] = "mmpretrain"


def _all_stages(backbone: MutableMapping[str, Any]) -> tuple[int, ...]:
    stages = tuple(backbone.get("out_indices", (3,)))
    last = backbone.get("num_stages", 4) - 1
    return tuple(range(last + 1)) if stages == (last,) else stages
