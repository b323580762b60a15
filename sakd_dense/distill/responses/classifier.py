r"""Classifiers (mmpretrain): the head's scores of an image.

.. math:: L_{cls} = \frac{\tau^2}{B} \sum_b \mathrm{KL}\left(
          \mathrm{softmax}(z_t / \tau) \,\|\, \mathrm{softmax}(z_s / \tau)\right)

A multi-label head has no softmax: each class is a binary variable, and the divergence is averaged
over classes. Mixed images (mixup, cutmix) and smoothed labels need no special treatment: both
models see the same mixed image, and the loss on the labels is still the head's.
"""

import sys
from typing import Any, ClassVar

from torch import Tensor, nn

from ...runtime.errors import UserError
from ..taps import Recorder, Tap
from .base import Response, neck
from .divergence import binary_kl, check_tau, softmax_kl


class ClassifierResponse(Response):
    """Response of a classifier: softmax scores, or separate classes of a multi-label head.

    Args:
        tau: temperature of the softmax, not used for multi-label heads. Default: 2.0.
        weights: weight of the term ``cls``.

    Example:
        >>> import torch
        >>> from mmpretrain.models import LinearClsHead
        >>> from torch import nn
        >>> from sakd_dense.distill.responses import ClassifierResponse
        >>> model = nn.ModuleDict(dict(head=LinearClsHead(3, 8)))
        >>> scores = torch.eye(3)
        >>> ClassifierResponse(tau=2.0).compare(scores, scores, model)
        {'cls': tensor(0.)}
    """

    terms: ClassVar = {"cls": 1.0}

    def __init__(self, tau: float = 2.0, **weights: Any) -> None:
        super().__init__(**weights)
        self.tau = check_tau(tau)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        # Without mmpretrain there is none of its classifiers.
        heads = sys.modules.get("mmpretrain.models.heads")
        head = getattr(model, "head", None)
        return heads is not None and isinstance(head, heads.ClsHead | heads.MultiLabelClsHead)

    def taps(self, model: nn.Module) -> list[Recorder]:
        return [Tap(model.head)]

    def run(
        self,
        model: nn.Module,
        features: tuple[Tensor, ...],
        reference: Any = None,
        samples: Any = None,
    ) -> Tensor:
        return model.head(neck(model, features))

    def compare(
        self, student: Tensor, teacher: Tensor, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        from mmpretrain.models.heads import MultiLabelClsHead

        if student.shape != teacher.shape:
            raise UserError(
                f"the student's logits {tuple(student.shape)} and the teacher's "
                f"{tuple(teacher.shape)} differ: use a teacher with the same classes"
            )
        student, teacher = student.float(), teacher.float()
        if isinstance(model.head, MultiLabelClsHead):
            return {"cls": binary_kl(student, teacher).mean()}
        return {"cls": softmax_kl(student, teacher, self.tau).mean()}
