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
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..processes import mean_over_processes
from .base import Response, neck
from .divergence import binary_kl


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


def sigmoid_head(head: nn.Module | None) -> bool:
    """Whether ``head`` is one-stage with sigmoid scores (a region proposal network is, too)."""
    if head is None:
        return False
    from mmdet.models.dense_heads.anchor_free_head import AnchorFreeHead
    from mmdet.models.dense_heads.anchor_head import AnchorHead

    return isinstance(head, AnchorHead | AnchorFreeHead) and bool(
        getattr(head, "use_sigmoid_cls", False)
    )


def run_head(head: nn.Module, features: tuple[Tensor, ...]) -> Any:
    """What ``head`` says of the neck's ``features``, boxes in the units of training."""
    with _outputs_as_in_training(head):
        return head(features)


def compare_heads(
    student: Any, teacher: Any, head: nn.Module, gamma: float = 1.0
) -> dict[str, Tensor]:
    """``cls``, ``box`` and, where the head has one, ``quality`` of two outputs of ``head``."""
    classes = head.cls_out_channels
    s_cls, t_cls = (_rows(out[0], classes) for out in (student, teacher))
    if s_cls.shape != t_cls.shape:
        raise ValueError(
            f"the student's {s_cls.shape[0]} anchors and the teacher's {t_cls.shape[0]} "
            "differ: teacher and student must share head, strides and anchors"
        )
    confidence = t_cls.sigmoid().amax(1)
    count = mean_over_processes(confidence.sum()).clamp(min=1e-3)
    apart = (s_cls.detach().sigmoid() - t_cls.sigmoid()).abs() ** gamma
    terms = {"cls": (apart * binary_kl(s_cls, t_cls)).sum() / count}

    width = student[1][0].shape[1] * s_cls.shape[1] // student[0][0].shape[1]
    s_box, t_box = (_rows(out[1], width) for out in (student, teacher))
    error = (s_box - t_box).abs().mean(1)
    if not hasattr(getattr(head, "bbox_coder", None), "stds"):
        error = error / (t_box.abs().mean(1) + 1e-3)
    terms["box"] = (confidence * error).sum() / count

    if len(student) > 2 and student[2][0].shape[1] * classes == student[0][0].shape[1]:
        s_q, t_q = (_rows(out[2], 1) for out in (student, teacher))
        terms["quality"] = (confidence * binary_kl(s_q, t_q)[:, 0]).sum() / count
    return terms


def check_gamma(gamma: float) -> float:
    if not gamma >= 0:
        raise ValueError(f"responses: gamma={gamma!r}: take a number of at least 0")
    return gamma


class DenseHeadResponse(Response):
    """Classification, boxes and, where the head has one, the quality score.

    Args:
        cls, box, quality: weights.
        gamma: how much anchors on which both agree are left out.
    """

    terms: ClassVar = {"cls": 1.0, "box": 1.0, "quality": 1.0}

    def __init__(self, gamma: float = 1.0, **weights: Any) -> None:
        super().__init__(**weights)
        self.gamma = check_gamma(gamma)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        return sigmoid_head(getattr(model, "bbox_head", None))

    def modules(self, model: nn.Module) -> list[nn.Module]:
        return [model.bbox_head]

    def run(self, model: nn.Module, features: tuple[Tensor, ...], like: Any = None) -> Any:
        return run_head(model.bbox_head, neck(model, features))

    def compare(
        self, student: Any, teacher: Any, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        return compare_heads(student, teacher, model.bbox_head, self.gamma)
