r"""Classifiers (mmpretrain): what the head says of an image.

.. math:: L_{cls} = \frac{\tau^2}{B} \sum_b \mathrm{KL}\left(
          \mathrm{softmax}(z_t / \tau) \,\|\, \mathrm{softmax}(z_s / \tau)\right)

A multi-label head has no softmax: there each class is a binary variable, and the divergence is
averaged over classes. Mixed images (mixup, cutmix) and smoothed labels need nothing of their own:
both models see the same mixed image, and the labels' own loss stays the head's.
"""

import sys
from typing import Any, ClassVar

from torch import Tensor, nn

from .base import Response, neck
from .divergence import binary_kl, check_tau, softmax_kl


class ClassifierResponse(Response):
    """Args: ``cls``: weight; ``tau``: temperature (not used for multi-label heads)."""

    terms: ClassVar = {"cls": 1.0}

    def __init__(self, tau: float = 2.0, **weights: Any) -> None:
        super().__init__(**weights)
        self.tau = check_tau(tau)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        # Who has no mmpretrain has none of its classifiers.
        heads = sys.modules.get("mmpretrain.models.heads")
        head = getattr(model, "head", None)
        return heads is not None and isinstance(head, heads.ClsHead | heads.MultiLabelClsHead)

    def modules(self, model: nn.Module) -> list[nn.Module]:
        return [model.head]

    def run(self, model: nn.Module, features: tuple[Tensor, ...], like: Any = None) -> Tensor:
        return model.head(neck(model, features))

    def compare(
        self, student: Tensor, teacher: Tensor, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        from mmpretrain.models.heads import MultiLabelClsHead

        if student.shape != teacher.shape:
            raise ValueError(
                f"the student's logits {tuple(student.shape)} and the teacher's "
                f"{tuple(teacher.shape)} differ: give a teacher of the same classes"
            )
        student, teacher = student.float(), teacher.float()
        if isinstance(model.head, MultiLabelClsHead):
            return {"cls": binary_kl(student, teacher).mean()}
        return {"cls": softmax_kl(student, teacher, self.tau).mean()}
