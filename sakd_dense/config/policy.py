"""Check for settings that contradict level 1 from an ANN: BatchNorm that is not trained."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from mmengine.config import Config

from .teacher import sakd_hook
from .types import LOADERS, spiking_backbone_cfgs, type_name

_NORM_REASON = (
    "an ANN's BatchNorm statistics do not fit spikes, so level 1 from an ANN needs them trained "
    "(or re-estimated by tools/transfer.py --reestimate-bn)"
)


def check_norm_policy(cfg: Config | MutableMapping[str, Any]) -> list[str]:
    """Lists the settings of ``cfg`` that keep an ANN's BatchNorm statistics in a spiking student.

    The list is empty if level 1 does not start from an ANN: the config has neither
    ``SAKDHook(transfer=True)`` nor ``SAKDTransfer`` nor ``Pretrained``, or it has a ``load_from``,
    which is loaded last.

    Example:
        >>> from sakd_dense.config import check_norm_policy
        >>> backbone = dict(type="SEWResNet", norm_eval=True)
        >>> hook = dict(type="SAKDHook", teacher=dict(checkpoint="ann.pth"))
        >>> cfg = dict(model=dict(type="RetinaNet", backbone=backbone), custom_hooks=[hook])
        >>> [line.partition(":")[0] for line in check_norm_policy(cfg)]
        ['SEWResNet(norm_eval=True)']
    """
    if cfg.get("load_from"):
        return []
    hook = sakd_hook(cfg)
    if hook.get("transfer") == "head":
        return []  # the backbone's weights come from an SNN, whose statistics fit
    by_hook = bool(hook) and bool(hook.get("transfer", True))
    lines = []
    for b in spiking_backbone_cfgs(cfg.get("model") or {}):
        if not (by_hook or _initialised(b) or _initialised(cfg["model"])):
            continue
        name = type_name(b["type"])
        if b.get("norm_eval", False):
            lines.append(f"{name}(norm_eval=True): {_NORM_REASON}; set norm_eval=False")
        if b.get("frozen_stages", -1) >= 0:
            stages = b["frozen_stages"]
            lines.append(f"{name}(frozen_stages={stages}): {_NORM_REASON}; set frozen_stages=-1")
        if (b.get("norm_cfg") or {}).get("requires_grad") is False:
            lines.append(f"{name}(norm_cfg=dict(requires_grad=False)): {_NORM_REASON}; set it True")
    return lines


def _initialised(cfg: MutableMapping[str, Any]) -> bool:
    inits = cfg.get("init_cfg") or []
    inits = [inits] if isinstance(inits, MutableMapping) else inits
    kinds = {type_name(i.get("type")) for i in inits}
    return bool(cfg.get("pretrained")) or not kinds.isdisjoint(LOADERS)
