r"""One-stage detectors with sigmoid scores: heads derived from AnchorHead and AnchorFreeHead.

With the teacher's probability *p*, the student's *q* (per anchor and class), the teacher's
confidence :math:`c = \max_k p_k` (per anchor) and its sum over all anchors :math:`C = \sum c`:

.. math::
    L_{cls} &= \frac{1}{C} \sum |p - q|^{\gamma}\, \mathrm{KL}(p \,\|\, q) \\
    L_{box} &= \frac{1}{C} \sum c\, \frac{1}{4} \lVert \delta_s - \delta_t \rVert_1 \\
    L_{quality} &= \frac{1}{C} \sum c\, \mathrm{KL}(u_t \,\|\, u_s)

KL is binary: cross-entropy less the teacher's own entropy, so that it is zero when both agree;
:math:`|p - q|^\gamma` (no gradient) keeps the many easy background anchors from ruling. *C* counts
objects as the teacher sees them, and grows with resolution, batch and levels as the sums do;
over several processes it is averaged, as mmdet averages its number of positives.
Box outputs that are distances from a point (FCOS) are compared relative to the teacher's.
*u* is a centerness or IoU score where the head gives one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..processes import mean_over_processes
from .base import Response, neck


def _binary_kl(logits: Tensor, target_logits: Tensor) -> Tensor:
    target = target_logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    own = F.binary_cross_entropy_with_logits(target_logits, target, reduction="none")
    return cross - own


def _rows(levels: Sequence[Tensor], width: int) -> Tensor:
    """Levels ``[B, A*width, H, W]`` -> ``[anchors of all levels and images, width]``, float32."""
    return torch.cat([x.float().permute(0, 2, 3, 1).reshape(-1, width) for x in levels])


@contextmanager
def _outputs_as_in_training(head: nn.Module) -> Iterator[None]:
    # FCOS and its kin give boxes in strides while training and in pixels otherwise. The head's
    # own flag alone decides that; its BatchNorm and dropout stay in eval.
    before, head.training = head.training, True
    try:
        yield
    finally:
        head.training = before


class DenseHeadResponse(Response):
    """Classification, boxes and, where the head has one, the quality score.

    Args:
        cls, box, quality: weights.
        gamma: how much anchors on which both agree are left out.
    """

    terms = ("cls", "box", "quality")

    def __init__(self, gamma: float = 1.0, **weights: Any) -> None:
        super().__init__(**weights)
        if not gamma >= 0:
            raise ValueError(f"responses: gamma={gamma!r}: take a number of at least 0")
        self.gamma = gamma

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        head = getattr(model, "bbox_head", None)
        if head is None:
            return False
        from mmdet.models.dense_heads.anchor_free_head import AnchorFreeHead
        from mmdet.models.dense_heads.anchor_head import AnchorHead

        return isinstance(head, AnchorHead | AnchorFreeHead) and bool(
            getattr(head, "use_sigmoid_cls", False)
        )

    def module(self, model: nn.Module) -> nn.Module:
        return model.bbox_head

    def run(self, model: nn.Module, features: tuple[Tensor, ...]) -> Any:
        with _outputs_as_in_training(model.bbox_head):
            return model.bbox_head(neck(model, features))

    def labels(
        self, model: nn.Module, features: tuple[Tensor, ...], samples: Any
    ) -> dict[str, Any]:
        return model.bbox_head.loss(neck(model, features), samples)

    def compare(self, student: Any, teacher: Any, model: nn.Module) -> dict[str, Tensor]:
        head = model.bbox_head
        classes = head.cls_out_channels
        s_cls, t_cls = (_rows(out[0], classes) for out in (student, teacher))
        if s_cls.shape != t_cls.shape:
            raise ValueError(
                f"the student's {s_cls.shape[0]} anchors and the teacher's {t_cls.shape[0]} "
                "differ: teacher and student must share head, strides and anchors"
            )
        confidence = t_cls.sigmoid().amax(1)
        count = mean_over_processes(confidence.sum()).clamp(min=1e-3)
        apart = (s_cls.detach().sigmoid() - t_cls.sigmoid()).abs() ** self.gamma
        terms = {"cls": (apart * _binary_kl(s_cls, t_cls)).sum() / count}

        width = student[1][0].shape[1] * s_cls.shape[1] // student[0][0].shape[1]
        s_box, t_box = (_rows(out[1], width) for out in (student, teacher))
        error = (s_box - t_box).abs().mean(1)
        if not hasattr(getattr(head, "bbox_coder", None), "stds"):
            error = error / (t_box.abs().mean(1) + 1e-3)
        terms["box"] = (confidence * error).sum() / count

        if len(student) > 2 and student[2][0].shape[1] * classes == student[0][0].shape[1]:
            s_q, t_q = (_rows(out[2], 1) for out in (student, teacher))
            terms["quality"] = (confidence * _binary_kl(s_q, t_q)[:, 0]).sum() / count
        return terms
