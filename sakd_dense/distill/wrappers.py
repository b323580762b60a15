"""Semi-supervised wrappers: the model that level 2 teaches, and the losses that it extends."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..runtime.errors import UserError
from ..runtime.processes import unwrapped

Losses = dict[str, Any]


#: Maps the inputs and data samples of the student's last forward to the terms.
AddTerms = Callable[[Tensor, Any], Losses]


def student_of(model: nn.Module) -> nn.Module:
    """Returns ``model``, or the detector that a semi-supervised wrapper (SoftTeacher) trains."""
    inner = getattr(model, "student", None)
    return model if hasattr(model, "backbone") or inner is None else inner


def spiking_student(runner: Any) -> nn.Module:
    """Returns the model of a runner that level 2 teaches.

    Raises:
        UserError: its backbone does not spike.
    """
    model = student_of(unwrapped(runner.model))
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, SpikingBackbone):
        raise UserError(
            f"SAKDHook: model.backbone of {type(model).__name__} is {type(backbone).__name__}, "
            "which does not spike: put SEW before its type"
        )
    return model


def on_loss(model: nn.Module, add_terms: AddTerms) -> Callable[[], None]:
    """Adds terms to the losses that ``model`` computes in training.

    The terms are computed inside the model's forward, so that DDP, AMP, gradient accumulation and
    EMA see one forward and one loss. A semi-supervised wrapper gets them only in its supervised
    branch, because its pseudo labels come from its own teacher.

    Returns:
        A function that removes the terms again.
    """
    if student_of(model) is model:
        return model.register_forward_hook(_Hook(add_terms), with_kwargs=True).remove
    supervised = model.loss_by_gt_instances

    def with_terms(inputs: Tensor, samples: Any) -> Losses:
        losses = supervised(inputs, samples)
        weight = (model.semi_train_cfg or {}).get("sup_weight", 1.0)
        terms = add_terms(inputs, samples)
        return {**losses, **{f"sup_{name}": weight * value for name, value in terms.items()}}

    model.loss_by_gt_instances = with_terms
    return lambda: model.__dict__.pop("loss_by_gt_instances", None)


class _Hook:
    """Forward hook that adds the terms to a model's losses, in mode ``loss`` while training."""

    def __init__(self, add_terms: AddTerms) -> None:
        self.add_terms = add_terms

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        arguments = dict(zip(("inputs", "data_samples", "mode"), args, strict=False)) | kwargs
        if arguments.get("mode") != "loss" or not module.training:
            return None
        return {**output, **self.add_terms(arguments["inputs"], arguments.get("data_samples"))}
