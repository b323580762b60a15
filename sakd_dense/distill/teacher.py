"""Teacher: the student's ANN twin, frozen and outside of the student's module tree."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..backbones.folding import optimize_for_inference
from ..config.types import ann_types, type_name
from ..runtime.errors import UserError
from ..transfer.fit import KeyExceptions, fit
from ..transfer.read import Source, read_checkpoint
from ..transfer.weights import Checkpoint, select_tested_model

_EXCEPTIONS = KeyExceptions()
#: Settings of a data_preprocessor that change pixels; teacher and student must share them.
_PREPROCESSING = ("mean", "std", "_channel_conversion", "pad_size_divisor", "pad_value")


def build_teacher(
    model_cfg: Mapping[str, Any],
    checkpoint: Source,
    student: nn.Module,
    backbone_only: bool = False,
) -> nn.Module:
    """Builds, loads and freezes the teacher on the student's device.

    Args:
        model_cfg: model config from :func:`~sakd_dense.config.teacher_config`.
        checkpoint: as in :func:`sakd_dense.transfer.read_checkpoint`. If it holds several models,
            the one that its author tests is loaded
            (:func:`sakd_dense.transfer.weights.select_tested_model`).
        student: the model to teach. Its preprocessing must be the teacher's.
        backbone_only: loads only the backbone, if only features are taught. Neck and head may
            then be missing, or belong to other classes. Default: False.

    Raises:
        MissingFileError, UserError: for a checkpoint that is missing, truncated, of another
            architecture or of other classes, or for a teacher with another preprocessing.
    """
    teacher = MODELS.build(dict(model_cfg))
    _check_preprocessing(teacher, student)
    source = select_tested_model(read_checkpoint(checkpoint))
    _load(teacher, source, backbone_only)
    if source.note:
        print_log(f"SAKDHook: teacher checkpoint {source}: {source.note}", "current")
    teacher.sakd_classes = _classes(source.meta)
    return ready(teacher, student).to(next(student.parameters()).device)


def ready(teacher: nn.Module, student: nn.Module) -> nn.Module:
    """Freezes a loaded teacher and optimises its ANN backbone for inference, in place.

    Its images are channels last if those of the student, which has the same backbone, can be.
    """
    if type_name(type(teacher.backbone)) in ann_types():
        optimize_for_inference(teacher.backbone, student.backbone.channels_last)
    teacher.requires_grad_(False).eval()
    return teacher


def check_classes(teacher: nn.Module, dataset: Any) -> None:
    """Raises UserError if the teacher's checkpoint names other classes than ``dataset``."""
    ours = tuple((getattr(dataset, "metainfo", None) or {}).get("classes") or ())
    theirs = teacher.sakd_classes
    if ours and theirs and ours != theirs:
        raise UserError(
            f"SAKDHook: the teacher was trained on the classes {_short(theirs)}, but the student's "
            f"data set has {_short(ours)}: use a teacher with the same classes in the same order"
        )


def resized_outside_backbone(checkpoint: Checkpoint, model: nn.Module) -> list[str]:
    """Returns the keys of neck and head whose shapes in ``checkpoint`` and ``model`` differ."""
    report = fit(select_tested_model(checkpoint), model.state_dict(), _EXCEPTIONS)
    return [key for key in report.shape_differs if not key.startswith("backbone.")]


def _classes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    dataset = meta.get("dataset_meta") or {}
    return tuple(dataset.get("classes") or dataset.get("CLASSES") or ())


def _short(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:6])
    return f"({shown}, ... {len(names)} in all)" if len(names) > 6 else f"({shown})"


def _check_preprocessing(teacher: nn.Module, student: nn.Module) -> None:
    for name in _PREPROCESSING:
        ours = getattr(getattr(student, "data_preprocessor", None), name, None)
        theirs = getattr(getattr(teacher, "data_preprocessor", None), name, None)
        if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
            same = ours.shape == theirs.shape and torch.equal(ours.cpu(), theirs.cpu())
            ours, theirs = ours.flatten().tolist(), theirs.flatten().tolist()
        else:
            same = ours == theirs
        if not same:
            raise UserError(
                f"SAKDHook: data_preprocessor.{name.lstrip('_')} is {ours} for the student and "
                f"{theirs} for the teacher. Both see the same tensor, so both need the same "
                "preprocessing: train one of them with the other's"
            )


def _load(teacher: nn.Module, source: Checkpoint, backbone_only: bool) -> None:
    # If only features are taught, only the teacher's backbone runs.
    part = "backbone" if backbone_only else "all"
    report = fit(source, teacher.state_dict(), _EXCEPTIONS, part)
    differing = [k for k, d in report.shape_differs.items() if d.reason is None]
    if differing:
        hint = "other classes" if "head" in differing[0] else "another architecture"
        raise UserError(
            f"SAKDHook: teacher checkpoint {source} has {hint}: {differing[0]} "
            f"({report.shape_differs[differing[0]]} derived from the student's config; "
            f"{len(differing)} such keys). Set teacher=dict(config=...), or use a checkpoint of "
            "the student's own ANN twin; to distil features alone, set responses=None"
        )
    if report.unexplained:
        advice = [
            *report.hints,
            "Set teacher=dict(config=...) to the config of that checkpoint; if it holds only a "
            "backbone, switch the responses off (responses=None)",
        ]
        raise UserError(
            f"SAKDHook: teacher checkpoint {source} does not fit the teacher: "
            f"{'; '.join(report.unexplained)}. {'. '.join(advice)}"
        )
    if not report.pairs:
        raise UserError(f"SAKDHook: teacher checkpoint {source}: none of its keys fits the teacher")
    state = {new: source.state[old] for old, new in report.pairs.items()}
    teacher.load_state_dict(state, strict=False)
