"""Conversion of any ANN config into its SAKD config: spiking student, teacher and hook."""

from __future__ import annotations

import copy
from collections.abc import MutableMapping
from typing import Any

from mmengine.config import Config, ConfigDict

from ..runtime.arguments import at_least, check
from ..runtime.errors import UserError
from .models import drop_checkpoints
from .teacher import sakd_hook
from .twins import spiking_of
from .types import spiking_backbone_cfgs, spiking_part_cfgs

SOURCES = ("ann", "snn")
_OURS = "sakd_dense"

#: The settings of a config that `to_sakd` reads, with their allowed types.
_TYPES: dict[str, Any] = {
    "default_scope": str | None,
    "model": dict[str, Any] | None,
    "custom_imports": dict[str, Any] | None,
    "custom_hooks": list[dict[str, Any]] | None,
}


def to_sakd(
    cfg: Config,
    teacher_checkpoint: str | None = None,
    time_steps: int | None = None,
    *,
    transfer: bool = True,
    source: str = "ann",
    family: str | None = None,
    counts: int | None = None,
    backbone: dict[str, Any] | None = None,
    hook: dict[str, Any] | None = None,
) -> Config:
    """Converts an ANN config into a SAKD config: spiking student, teacher and hook.

    The function returns a copy and leaves ``cfg`` unchanged.

    Args:
        cfg: an upstream ANN config, or a config whose backbone is already spiking. A spiking
            backbone keeps its type and takes ``time_steps``, ``counts`` and ``backbone``.
        teacher_checkpoint: checkpoint of the trained ANN of the same architecture. With None, the
            config gets no hook, and the student starts as its config defines, for example from
            ImageNet weights.
        time_steps: number of time steps T. None means 1 with ``counts``. Without ``counts``, None
            means the value of an already spiking config, or 4.
        transfer: whether level 1 initialises the student from the teacher's checkpoint.
        source: source of the student's initial weights. With ``'ann'``, BatchNorm is trained
            (``norm_eval=False``, ``frozen_stages=-1``). With ``'snn'`` (a distilled SNN in
            ``load_from``), upstream's values are kept.
        family: prefix of the backbone's type, ``'SEW'`` or ``'Spiking'``. None selects ``'SEW'``
            for ResNets with binary spikes and otherwise ``'Spiking'``, whose limit for large D is
            the ANN itself.
        counts: D, the largest number of spikes per time step. The backbone and spiking necks and
            heads then use ``NILIFNode``. None keeps the config's neurons; the default is binary.
        backbone: further arguments of the spiking backbone.
        hook: further arguments of ``SAKDHook``.

    Raises:
        UserError: the config has no model or no backbone with a spiking twin, or one of its
            settings has a wrong type; ``source``, ``family`` or ``counts`` is not allowed.

    Example:
        >>> from sakd_dense import to_sakd
        >>> from sakd_dense.config import load_config
        >>> ann = load_config("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py")
        >>> student = to_sakd(ann, "retinanet_r50.pth", time_steps=4)
        >>> student.model.backbone.type, student.custom_hooks[-1].type
        ('SEWResNet', 'SAKDHook')
    """
    if source not in SOURCES:
        raise UserError(f"source={source!r}: must be one of {SOURCES}")
    new = copy.deepcopy(cfg)
    for name, hint in _TYPES.items():
        check(f"config {cfg.filename or ''}: {name}", new.get(name), hint)
    if not new.get("model") or not new.model.get("type"):
        raise UserError(f"config {cfg.filename or ''} has no model=dict(type=...)")
    options = dict(backbone or {})
    if counts is not None:
        at_least("counts", counts)
        node = options.setdefault("neuron", dict(type="NILIFNode", D=counts))
        for part in spiking_part_cfgs(new.model):
            part["neuron"] = copy.deepcopy(node)
        time_steps = 1 if time_steps is None else time_steps
    family = family or (None if counts is None else "Spiking")
    if spiking_backbone_cfgs(new.model):
        for b in spiking_backbone_cfgs(new.model):
            b.update(options, **({} if time_steps is None else {"time_steps": time_steps}))
    else:
        steps = 4 if time_steps is None else time_steps
        scope = new.get("default_scope")
        new.model = ConfigDict(spiking_of(new.model, steps, scope, family, **options))
    for b in spiking_backbone_cfgs(new.model):
        if source == "ann":
            _train_norms(b)
    _import_us(new)
    if teacher_checkpoint is not None:
        if transfer:
            drop_checkpoints(new.model)
        _add_hook(new, teacher_checkpoint, transfer, hook or {})
    return new


def _train_norms(backbone: MutableMapping[str, Any]) -> None:
    # Both are the spiking backbone's defaults, so only contradicting values are changed.
    if backbone.get("norm_eval"):
        backbone["norm_eval"] = False
    if backbone.get("frozen_stages", -1) >= 0:
        backbone["frozen_stages"] = -1
    norm = backbone.get("norm_cfg")
    if isinstance(norm, MutableMapping) and norm.get("requires_grad") is False:
        norm["requires_grad"] = True


def _import_us(cfg: Config) -> None:
    imports = dict(cfg.get("custom_imports") or {})
    names = imports.get("imports") or []
    names = [names] if isinstance(names, str) else list(names)
    if _OURS not in names:
        names.append(_OURS)
    # If the import of this package failed silently, every type would be unknown.
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
