"""The teacher: the student's own ANN twin, frozen, outside the student's module tree."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..backbones.folding import optimize_for_inference
from ..config.types import ANN_TYPES, type_name
from ..runtime.errors import UserError
from ..transfer import read_state_dict
from ..transfer.keys import choose_part, match_keys

#: What a data_preprocessor does to pixels; teacher and student must agree on it.
_PREPROCESSING = ("mean", "std", "_channel_conversion", "pad_size_divisor", "pad_value")


def build_teacher(
    model_cfg: Mapping[str, Any], checkpoint: str, student: nn.Module, backbone_only: bool = False
) -> nn.Module:
    """Builds, loads and freezes the teacher, on the student's device.

    Args:
        model_cfg: as :func:`teacher_config` gives it.
        checkpoint: anything that :func:`sakd_dense.transfer.read_state_dict` reads.
        student: the model that will be taught; its preprocessing must be the teacher's.
        backbone_only: accept a checkpoint without neck and head (features alone are taught).

    Raises:
        MissingFileError, UserError: for a checkpoint that is missing, cut short, of another
            architecture or of other classes, or a teacher that sees other pixels.
    """
    teacher = MODELS.build(dict(model_cfg))
    _check_preprocessing(teacher, student)
    state, meta = read_state_dict(checkpoint)
    own = teacher.state_dict()
    names = match_keys(state, own, choose_part(state, own))
    state = {names[key] or key: value for key, value in state.items()}
    _load(teacher, state, str(checkpoint), backbone_only)
    teacher.sakd_classes = _classes(meta)
    return ready(teacher).to(next(student.parameters()).device)


def ready(teacher: nn.Module) -> nn.Module:
    """Freezes a teacher that has its weights, and makes it quick, in place."""
    if type_name(type(teacher.backbone)) in ANN_TYPES:
        optimize_for_inference(teacher.backbone)
    teacher.requires_grad_(False).eval()
    return teacher


def check_classes(teacher: nn.Module, dataset: Any) -> None:
    """Raises UserError where the teacher's checkpoint names other classes than ``dataset``."""
    ours = tuple((getattr(dataset, "metainfo", None) or {}).get("classes") or ())
    theirs = teacher.sakd_classes
    if ours and theirs and ours != theirs:
        raise UserError(
            f"SAKDHook: the teacher was trained on the classes {_short(theirs)} and the student's "
            f"data set has {_short(ours)}: give a teacher of the same classes in the same order"
        )


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
                "preprocessing: train the one with the other's"
            )


def _load(teacher: nn.Module, state: dict[str, Tensor], name: str, backbone_only: bool) -> None:
    own = teacher.state_dict()
    clash = [k for k in own if k in state and own[k].shape != state[k].shape]
    if clash:
        key = clash[0]
        hint = "other classes" if "head" in key else "another architecture"
        raise UserError(
            f"SAKDHook: teacher checkpoint {name} is of {hint}: {key} is "
            f"{tuple(state[key].shape)} there and {tuple(own[key].shape)} in the teacher derived "
            f"from the student's config ({len(clash)} such keys). Give teacher=dict(config=...) or "
            "a checkpoint of the student's own ANN twin"
        )
    # Counters that torch added later are no sign of another architecture.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    if backbone_only:
        missing = [k for k in missing if k.startswith("backbone.")]
    extra = [
        k
        for k in state
        if k not in own and not k.startswith(("data_preprocessor.", "backbone.fc."))
    ]
    if missing or (extra and not backbone_only):
        raise UserError(
            f"SAKDHook: teacher checkpoint {name} does not fit the teacher: missing "
            f"{missing[:3]} ({len(missing)} keys), not wanted {extra[:3]} ({len(extra)} keys). "
            "Give teacher=dict(config=...) of that checkpoint; where it holds a backbone alone, "
            "switch the responses off (responses=None)"
        )
    teacher.load_state_dict({k: state[k] for k in own if k in state}, strict=False)
