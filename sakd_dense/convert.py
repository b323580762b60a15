"""Any ANN config -> its SAKD config: spiking student, teacher and hook in one call."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from typing import Any

from mmengine.config import Config, ConfigDict

from .twins import (
    ANN_TYPES,
    LOADERS,
    ann_of,
    ann_type,
    drop_checkpoints,
    initial_checkpoints,
    sakd_hook,
    spiking_backbones,
    spiking_of,
    type_name,
    without_checkpoints,
)

SOURCES = ("ann", "snn")
_OURS = "sakd_dense"

_NORM_REASON = (
    "an ANN's BatchNorm statistics do not fit spikes, so level 1 from an ANN needs them trained "
    "(or re-estimated by tools/transfer.py --reestimate-bn)"
)


def _train_norms(backbone: MutableMapping[str, Any]) -> None:
    # Only where it contradicts: both are the spiking backbone's defaults.
    if backbone.get("norm_eval"):
        backbone["norm_eval"] = False
    if backbone.get("frozen_stages", -1) >= 0:
        backbone["frozen_stages"] = -1
    norm = backbone.get("norm_cfg")
    if isinstance(norm, MutableMapping) and norm.get("requires_grad") is False:
        norm["requires_grad"] = True


def to_sakd(
    cfg: Config,
    teacher_checkpoint: str | None = None,
    time_steps: int | None = None,
    *,
    transfer: bool = True,
    source: str = "ann",
    family: str = "SEW",
    backbone: dict[str, Any] | None = None,
    hook: dict[str, Any] | None = None,
) -> Config:
    """A copy of a whole config: spiking student, teacher and hook. ``cfg`` is left as it is.

    Args:
        cfg: an upstream ANN config, or one that is spiking already (then only the hook is added).
        teacher_checkpoint: the ANN of the same architecture, trained. None: no hook; the student
            starts from what its config says (say, ImageNet weights).
        time_steps: T; None: 4, or what an already spiking config says.
        transfer: level 1 from the teacher's checkpoint.
        source: where the student's first weights come from. ``'ann'``: BatchNorm is trained
            (``norm_eval=False``, ``frozen_stages=-1``); ``'snn'`` (a distilled SNN given by
            ``load_from``): upstream's values stand.
        family: ``'SEW'`` or ``'Spiking'``, which is put before the backbone's type.
        backbone: further arguments of the spiking backbone.
        hook: further arguments of ``SAKDHook``.

    Raises:
        ValueError: no model, or no backbone that has a spiking twin.
    """
    if source not in SOURCES:
        raise ValueError(f"source={source!r}: take one of {SOURCES}")
    new = copy.deepcopy(cfg)
    if not new.get("model") or not new.model.get("type"):
        raise ValueError(f"config {cfg.filename or ''} has no model=dict(type=...)")
    options = dict(backbone or {})
    if spiking_backbones(new.model):
        for b in spiking_backbones(new.model):
            b.update(options, **({} if time_steps is None else {"time_steps": time_steps}))
    else:
        steps = 4 if time_steps is None else time_steps
        scope = new.get("default_scope")
        new.model = ConfigDict(spiking_of(new.model, steps, scope, family, **options))
    for b in spiking_backbones(new.model):
        if source == "ann":
            _train_norms(b)
    _import_us(new)
    if teacher_checkpoint is not None:
        if transfer:
            drop_checkpoints(new.model)
        _add_hook(new, teacher_checkpoint, transfer, hook or {})
    return new


def _import_us(cfg: Config) -> None:
    imports = dict(cfg.get("custom_imports") or {})
    names = imports.get("imports") or []
    names = [names] if isinstance(names, str) else list(names)
    if _OURS not in names:
        names.append(_OURS)
    # A failed import of ours must not pass: every type would be unknown.
    cfg.custom_imports = ConfigDict(imports=names, allow_failed_imports=False)


def _add_hook(cfg: Config, checkpoint: str, transfer: bool, options: dict[str, Any]) -> None:
    hooks = list(cfg.get("custom_hooks") or [])
    hook = sakd_hook(cfg)
    if not hook:
        hook = ConfigDict(type="SAKDHook", teacher=dict(checkpoint=checkpoint))
        hooks.append(hook)
    else:
        hook["teacher"] = ConfigDict(hook.get("teacher") or {}, checkpoint=checkpoint)
    if not transfer or "transfer" in hook:
        hook["transfer"] = transfer
    hook.update(copy.deepcopy(options))
    cfg.custom_hooks = hooks


def check_norm_policy(cfg: Config | MutableMapping[str, Any]) -> list[str]:
    """What in ``cfg`` keeps an ANN's BatchNorm statistics in a spiking student, one line each.

    Empty where level 1 is not from an ANN: without ``SAKDHook(transfer=True)``, ``SAKDTransfer``
    and ``Pretrained``, or with a ``load_from``, which comes last.
    """
    if cfg.get("load_from"):
        return []
    hook = sakd_hook(cfg)
    if hook.get("transfer") == "head":
        return []  # the backbone comes from an SNN, whose statistics fit
    by_hook = bool(hook) and bool(hook.get("transfer", True))
    found = []
    for b in spiking_backbones(cfg.get("model") or {}):
        if not (by_hook or _initialised(b) or _initialised(cfg["model"])):
            continue
        name = type_name(b["type"])
        if b.get("norm_eval", False):
            found.append(f"{name}(norm_eval=True): {_NORM_REASON}; set norm_eval=False")
        if b.get("frozen_stages", -1) >= 0:
            stages = b["frozen_stages"]
            found.append(f"{name}(frozen_stages={stages}): {_NORM_REASON}; set frozen_stages=-1")
        if (b.get("norm_cfg") or {}).get("requires_grad") is False:
            found.append(f"{name}(norm_cfg=dict(requires_grad=False)): {_NORM_REASON}; set it True")
    return found


def _initialised(cfg: MutableMapping[str, Any]) -> bool:
    inits = cfg.get("init_cfg") or []
    inits = [inits] if isinstance(inits, MutableMapping) else inits
    kinds = {type_name(i.get("type")) for i in inits}
    return bool(cfg.get("pretrained")) or not kinds.isdisjoint(LOADERS)


__all__ = [
    "ANN_TYPES",
    "ann_of",
    "ann_type",
    "check_norm_policy",
    "initial_checkpoints",
    "spiking_backbones",
    "spiking_of",
    "to_sakd",
    "type_name",
    "without_checkpoints",
]
