r"""Two-stage detectors: R-CNNs of one stage and cascades, whatever their RoI head is made of.

The region proposal network is compared as a one-stage head (:mod:`.dense`). Student and teacher
would sample other RoIs, which cannot be compared; both are asked about the *student's* RoIs, by
the RoI head's own methods (:mod:`.questions`). With the teacher's probability :math:`p_{nc}` of
RoI *n* to be class *c* (background aside):

.. math::
    L_{cls} &= \frac{1}{N} \sum_n \mathrm{KL}(p_n \,\|\, q_n) \\
    L_{box} &= \frac{1}{\sum p} \sum_{n,c} p_{nc}\, \tfrac14 \lVert\delta_s-\delta_t\rVert_1 \\
    L_{mask} &= \frac{1}{\sum p} \sum_{n,c} p_{nc}\, \mathrm{mean}_{hw}\,\mathrm{KL}(m_t \,\|\, m_s)

Deltas and masks of a class thus count as far as the teacher sees that class. The stages of a
cascade are averaged. Boxes that a head gives decoded are compared in units of the teacher's box.
Where there is a semantic branch (``seg``), it is compared pixel by pixel.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...runtime.processes import mean_over_processes
from ..taps import Call, Tap
from .base import Response, neck
from .dense import check_gamma, compare_heads, run_head
from .divergence import binary_kl, categorical_kl, softmax_kl
from .heads import layout_of
from .outputs import corner_error, mask_error
from .roi_calls import Question, ask, questions, roi_tap
from .softmax import softmax_loss


@dataclass
class Answer:
    """What a model says: of all anchors, of every pixel, and question by question of some RoIs."""

    rpn: Any = None
    semantic: Tensor | None = None
    questions: list[Question] = field(default_factory=list)


def _heads(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def _semantic_head(model: nn.Module) -> nn.Module | None:
    """Of a panoptic segmentor, or of a RoI head that has one (HTC, SCNet)."""
    places = (model, getattr(model, "roi_head", None))
    heads = (getattr(place, "semantic_head", None) for place in places)
    return next((h for h in heads if h is not None), None)


def _semantic(said: Any) -> tuple[Tensor, Any]:
    """(logits of every pixel, the map that the RoI head is given)"""
    return (said["seg_preds"], None) if isinstance(said, dict) else said[:2]


class TwoStageResponse(Response):
    """Args:
    rpn_cls, rpn_box, rpn_quality, cls, box, mask, seg: weights.
    gamma: of the RPN, as in :class:`.dense.DenseHeadResponse`.
    loss: of the RoIs' classes where they are a softmax: ``'kl'``, ``'dkd'``, ``'dist'``, or a
        dict with such a type and its arguments, see :mod:`.softmax`. The target class of DKD is
        the teacher's first choice.
    """

    terms: ClassVar = {
        name: 1.0 for name in ("rpn_cls", "rpn_box", "rpn_quality", "cls", "box", "mask", "seg")
    }

    def __init__(self, gamma: float = 1.0, loss: Any = "kl", **weights: Any) -> None:
        super().__init__(**weights)
        self.gamma = check_gamma(gamma)
        self.loss = softmax_loss(loss)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        roi_head = getattr(model, "roi_head", None)
        return roi_head is not None and roi_head.with_bbox and hasattr(roi_head, "_bbox_forward")

    @staticmethod
    def _rpn(model: nn.Module) -> nn.Module | None:
        # Fast R-CNN has none, and some are no dense head: the RoI head alone is taught then.
        rpn = getattr(model, "rpn_head", None)
        return rpn if layout_of(rpn) is not None else None

    def taps(self, model: nn.Module) -> list[Tap]:
        modules = (self._rpn(model), _semantic_head(model))
        return [*(Tap(m) for m in modules if m is not None), roi_tap(model.roi_head)]

    def gather(self, calls: list[list[Call]], model: nn.Module) -> Answer:
        *modules, asked = calls
        said = [output for _, output in self.once(modules)]
        rpn = said.pop(0) if self._rpn(model) is not None else None
        semantic = _semantic(said.pop(0))[0] if said else None
        return Answer(rpn, semantic, questions(asked))

    def run(
        self, model: nn.Module, features: tuple[Tensor, ...], like: Answer, samples: Any = None
    ) -> Answer:
        maps = neck(model, features)
        rpn = run_head(model.rpn_head, maps) if like.rpn is not None else None
        semantic, semantic_map = None, None
        if like.semantic is not None:
            semantic, semantic_map = _semantic(_semantic_head(model)(maps))
        return Answer(rpn, semantic, ask(model, maps, like.questions, semantic_map))

    def compare(
        self, student: Answer, teacher: Answer, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        terms: dict[str, list[Tensor]] = {}
        if student.rpn is not None:
            rpn = compare_heads(student.rpn, teacher.rpn, model.rpn_head, self.gamma)
            terms.update({f"rpn_{k}": [v] for k, v in rpn.items()})
        if student.semantic is not None:
            kl = softmax_kl(student.semantic.float(), teacher.semantic.float())
            terms["seg"] = [kl.mean()]
        heads = _heads(model.roi_head.bbox_head)
        seen, boxes = torch.zeros(0), None
        for mine, theirs in zip(student.questions, teacher.questions, strict=True):
            if mine.masks:
                error = mask_error(mine.said["mask_preds"], theirs.said["mask_preds"])
                which = seen[mine.rows(boxes)]
                terms.setdefault("mask", []).append(_weighted(error, which))
                continue
            head, boxes = heads[mine.stage], mine
            s, t = (_scores(q.said["cls_score"], head) for q in (mine, theirs))
            value, seen = self._classes(s, t, head)
            terms.setdefault("cls", []).append(value)
            error = _box_error(mine.said, theirs.said, len(s))
            if error is not None:
                terms.setdefault("box", []).append(_weighted(error, seen))
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def _classes(self, s: Tensor, t: Tensor, head: nn.Module) -> tuple[Tensor, Tensor]:
        """The term of the classes, and what the teacher sees: ``[N, classes]``."""
        if getattr(head.loss_cls, "custom_activation", False):  # Seesaw: classes and objectness
            p, q = (head.loss_cls.get_activation(x) for x in (t, s))
            found, seen = categorical_kl(q, p), p
        elif getattr(head.loss_cls, "use_sigmoid", False):
            found, seen = binary_kl(s, t).sum(1), t.sigmoid()
        else:
            found, seen = self.loss(s, t, t.argmax(1)), t.softmax(1)
        count = mean_over_processes(s.new_tensor(float(len(s)))).clamp(min=1.0)
        return found.sum() / count, seen[:, : head.num_classes]


def _scores(scores: Tensor, head: nn.Module) -> Tensor:
    """``[N, classes]``: heads of several instances (CrowdDet) give more than one row a RoI, and
    those of queries a dimension for the images.
    """
    width = scores.shape[-1]
    if not getattr(head.loss_cls, "custom_activation", False):
        width = head.num_classes + (not getattr(head.loss_cls, "use_sigmoid", False))
    return scores.float().reshape(-1, width)


def _box_error(student: dict[str, Any], teacher: dict[str, Any], rows: int) -> Tensor | None:
    """``[N, C]`` or, the same for every class, ``[N, 1]``; None where a head gives no box.

    Args:
        rows: N, that of the scores.
    """
    if isinstance(student.get("bbox_pred"), tuple):  # SABL: in which bucket, and where in it
        (s_in, s_at), (t_in, t_at) = (x["bbox_pred"] for x in (student, teacher))
        error = binary_kl(s_in.float(), t_in.float()).mean(1) + (s_at - t_at).abs().mean(1)
        return error.unsqueeze(1)
    if student.get("bbox_pred") is not None:
        s, t = (x["bbox_pred"].float().reshape(rows, -1) for x in (student, teacher))
        return (s - t).abs().unflatten(1, (-1, 4)).mean(2)
    if student.get("decoded_bboxes") is not None:
        s, t = (x["decoded_bboxes"].float() for x in (student, teacher))
        return corner_error(s, t).unsqueeze(1)
    return None


def _weighted(error: Tensor, seen: Tensor) -> Tensor:
    """Error ``[N, C]`` or, the same for every class, ``[N, 1]``; seen ``[N, C]`` -> a scalar."""
    total = mean_over_processes(seen.sum()).clamp(min=1e-3)
    return (error * (seen if error.shape[1] > 1 else seen.sum(1, keepdim=True))).sum() / total
