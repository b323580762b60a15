"""Level 1 at the start of a run: after the student's initialisation, before its checkpoints."""

from torch import nn

from ..transfer import transfer
from ..transfer.read import Checkpoint
from .teacher import resized_outside_backbone


def transfer_after_init(
    student: nn.Module, checkpoint: Checkpoint, part: str, any_classes: bool
) -> None:
    """Makes ``student.init_weights()`` end with level 1.

    ``Runner.train()`` calls it after the hooks' ``before_run``, and applies ``load_from`` and
    ``resume`` afterwards, which must take precedence.

    Args:
        student: the student.
        checkpoint: the teacher's.
        part: ``'auto'`` or ``'head'``, as in :func:`sakd_dense.transfer.transfer`.
        any_classes: whether layers for other classes keep their initialisation, as no term
            compares classes.
    """

    def init_weights() -> None:
        del student.init_weights
        if hasattr(student, "init_weights"):
            student.init_weights()
        missing_ok = resized_outside_backbone(checkpoint, student) if any_classes else []
        transfer(student, checkpoint, part, missing_ok=missing_ok)

    if part != "head":
        student.backbone.init_cfg = None
    student.init_weights = init_weights


__all__ = ["transfer_after_init"]
