"""The teacher that a config names or that is derived from the student."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..runtime.errors import MissingFileError, UserError
from .models import with_preprocessor
from .twins import ann_of
from .types import spiking_backbone_cfgs, type_name


def sakd_hook(cfg: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """Returns the config (not a copy) of a complete config's ``SAKDHook``; empty without a hook.

    Example:
        >>> from sakd_dense.config import sakd_hook
        >>> sakd_hook(dict(custom_hooks=[dict(type="SAKDHook", calibrate=0)]))["calibrate"]
        0
    """
    hooks = cfg.get("custom_hooks") or []
    return next((h for h in hooks if type_name(h.get("type")) == "SAKDHook"), {})


def teacher_file(cfg: Mapping[str, Any]) -> str | None:
    """Returns the path of the teacher's checkpoint that a complete config names.

    The result is None if the config names no checkpoint or if the file does not exist.

    Example:
        >>> from sakd_dense.config import teacher_file
        >>> hook = dict(type="SAKDHook", teacher=dict(checkpoint="not_there.pth"))
        >>> teacher_file(dict(custom_hooks=[hook])) is None
        True
    """
    name = (sakd_hook(cfg).get("teacher") or {}).get("checkpoint")
    return name if name and Path(name).is_file() else None


def teacher_config(student: Mapping[str, Any], config: Any = None) -> dict[str, Any]:
    """Returns the teacher's model config, taken from ``config`` or derived from the student.

    Args:
        student: the student's ``cfg.model``.
        config: the teacher's config: the path of a config file, a complete config or a model
            config. A spiking model is converted to its ANN twin. None derives the teacher from
            ``student``.

    Raises:
        MissingFileError: ``config`` is the path of a file that does not exist.
        UserError: ``config`` has no model with a type, or it is None and the student has no
            spiking backbone.

    Example:
        >>> from sakd_dense.config import teacher_config
        >>> backbone = dict(type="SEWResNet", depth=50, time_steps=4)
        >>> teacher_config(dict(type="RetinaNet", backbone=backbone))["backbone"]
        {'type': 'ResNet', 'depth': 50}
    """
    if config is None:
        return dict(ann_of(dict(student)))
    if isinstance(config, str | Path):
        if not Path(config).is_file():
            raise MissingFileError(f"SAKDHook: teacher config {str(config)!r} is not a file")
        config = Config.fromfile(config)
    model = with_preprocessor(config) if "model" in config else config
    if "type" not in model:
        raise UserError(
            f"SAKDHook: teacher config has no model with a type; its keys: {sorted(config)}"
        )
    return dict(ann_of(dict(model)) if spiking_backbone_cfgs(model) else model)


def teacher_of(cfg: Mapping[str, Any], config: Any = None) -> dict[str, Any]:
    """Returns the model config of the ANN teacher of a complete student config.

    A teacher derived from the student contains the preprocessor beside ``cfg.model`` (mmpretrain).
    For a semi-supervised wrapper (SoftTeacher), the result is the teacher of the detector that is
    trained.

    Args:
        cfg: the student's complete config. Its ``SAKDHook`` may name a teacher's config.
        config: as in :func:`teacher_config`. None uses the config that the hook names, if any.

    Raises:
        MissingFileError, UserError: as :func:`teacher_config`.

    Example:
        >>> from sakd_dense.config import load_config, teacher_of
        >>> student = load_config("sakd_dense::retinanet_sew18_sakd_digits.py")
        >>> teacher_of(student)["backbone"]["type"]
        'ResNet'
    """
    if config is None:
        config = (sakd_hook(cfg).get("teacher") or {}).get("config")
    return teacher_config(student_config(with_preprocessor(cfg)), config)


def student_config(model_cfg: Mapping[str, Any]) -> Any:
    """Returns the config of the model that is trained.

    See :func:`~sakd_dense.distill.wrappers.student_of`.
    """
    return model_cfg if "backbone" in model_cfg else model_cfg.get("detector", model_cfg)
