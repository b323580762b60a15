r"""Two-stage detectors: R-CNNs with one stage and cascades, with any structure of the RoI head.

The region proposal network is compared as a one-stage head (:mod:`.dense`). Student and teacher
would sample different RoIs, which cannot be compared. Both therefore run on the *student's* RoIs,
by the RoI head's own methods (:mod:`.roi_calls`). With the teacher's probability :math:`p_{nc}`
that RoI *n* is of class *c* (without the background):

.. math::
    L_{cls} &= \frac{1}{N} \sum_n \mathrm{KL}(p_n \,\|\, q_n) \\
    L_{box} &= \frac{1}{\sum p} \sum_{n,c} p_{nc}\, \tfrac14 \lVert\delta_s-\delta_t\rVert_1 \\
    L_{mask} &= \frac{1}{\sum p} \sum_{n,c} p_{nc}\, \mathrm{mean}_{hw}\,\mathrm{KL}(m_t \,\|\, m_s)

Deltas and masks of a class thus count in proportion to the teacher's probability of that class.
The stages of a cascade are averaged. Boxes that a head returns decoded are compared in units of the
teacher's box. A semantic branch (``seg``), if present, is compared pixel by pixel.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...runtime.processes import mean_over_processes
from ..taps import Recorder, Tap
from .base import Response, neck
from .dense import check_gamma, compare_heads, run_head
from .divergence import binary_kl, categorical_kl, softmax_kl
from .heads import layout_of
from .outputs import corner_error, mask_error
from .roi_calls import RoICall, replay, roi_calls, roi_tap, stages


@dataclass
class TwoStageOutput:
    """Outputs of a two-stage detector.

    Attributes:
        rpn: output of the region proposal network for all anchors, or None.
        semantic: logits of every pixel, or None.
        roi_calls: calls of the RoI head, each for some RoIs.
    """

    rpn: Any = None
    semantic: Tensor | None = None
    roi_calls: list[RoICall] = field(default_factory=list)


def _heads(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def _semantic_head(model: nn.Module) -> Any:
    """Returns the semantic head of a panoptic segmentor or of a RoI head (HTC, SCNet), or None."""
    places = (model, getattr(model, "roi_head", None))
    heads = (getattr(place, "semantic_head", None) for place in places)
    return next((h for h in heads if h is not None), None)


def _semantic(output: Any) -> tuple[Tensor, Any]:
    """Returns the logits of every pixel, and the map that the RoI head takes."""
    return (output["seg_preds"], None) if isinstance(output, dict) else output[:2]


class TwoStageResponse(Response):
    """Response of a two-stage detector: the RPN, and classes, boxes and masks of its RoIs.

    Args:
        gamma: exponent for the RPN, as in :class:`.dense.DenseHeadResponse`. Default: 1.0.
        weights: weights of the terms ``rpn_cls, rpn_box, rpn_quality, cls, box, mask, seg``.

    Example:
        >>> from sakd_dense.distill.responses import TwoStageResponse
        >>> list(TwoStageResponse(gamma=2.0).terms)
        ['rpn_cls', 'rpn_box', 'rpn_quality', 'cls', 'box', 'mask', 'seg']
    """

    terms: ClassVar = {
        name: 1.0 for name in ("rpn_cls", "rpn_box", "rpn_quality", "cls", "box", "mask", "seg")
    }

    def __init__(self, gamma: float = 1.0, **weights: Any) -> None:
        super().__init__(**weights)
        self.gamma = check_gamma(gamma)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        roi_head = getattr(model, "roi_head", None)
        return roi_head is not None and roi_head.with_bbox and hasattr(roi_head, "_bbox_forward")

    @staticmethod
    def _rpn(model: nn.Module) -> nn.Module | None:
        # Fast R-CNN has no RPN, and some RPNs are no dense heads: only the RoI head is taught.
        rpn = getattr(model, "rpn_head", None)
        return rpn if layout_of(rpn) is not None else None

    def taps(self, model: nn.Module) -> list[Recorder]:
        modules = (self._rpn(model), _semantic_head(model))
        return [*(Tap(m) for m in modules if m is not None), roi_tap(model.roi_head)]

    def gather(self, calls: list[list[Any]], model: nn.Module) -> TwoStageOutput:
        *module_calls, method_calls = calls
        outputs = [call.output for call in self.once(module_calls)]
        rpn = outputs.pop(0) if self._rpn(model) is not None else None
        semantic = _semantic(outputs.pop(0))[0] if outputs else None
        return TwoStageOutput(rpn, semantic, roi_calls(method_calls))

    def run(
        self,
        model: nn.Module,
        features: tuple[Tensor, ...],
        reference: Any = None,
        samples: Any = None,
    ) -> TwoStageOutput:
        maps = neck(model, features)
        rpn = run_head(model.rpn_head, maps) if reference.rpn is not None else None
        semantic, semantic_map = None, None
        if reference.semantic is not None:
            semantic, semantic_map = _semantic(_semantic_head(model)(maps))
        calls = replay(model, maps, reference.roi_calls, semantic_map)
        return TwoStageOutput(rpn, semantic, calls)

    def compare(
        self, student: Any, teacher: Any, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        terms: dict[str, list[Tensor]] = {}
        if student.rpn is not None:
            rpn = compare_heads(student.rpn, teacher.rpn, model.rpn_head, self.gamma)
            terms.update({f"rpn_{k}": [v] for k, v in rpn.items()})
        if student.semantic is not None:
            kl = softmax_kl(student.semantic.float(), teacher.semantic.float())
            terms["seg"] = [kl.mean()]
        heads = _heads(model.roi_head.bbox_head)
        pairs = zip(stages(student.roi_calls), stages(teacher.roi_calls), strict=True)
        for (s_boxes, s_masks), (t_boxes, t_masks) in pairs:
            head = heads[s_boxes.stage]
            s, t = (_scores(call.outputs["cls_score"], head) for call in (s_boxes, t_boxes))
            value, confidence = self._classes(s, t, head)
            terms.setdefault("cls", []).append(value)
            error = _box_error(s_boxes.outputs, t_boxes.outputs, len(s))
            if error is not None:
                terms.setdefault("box", []).append(_weighted(error, confidence))
            for s_mask, t_mask in zip(s_masks, t_masks, strict=True):
                error = mask_error(s_mask.outputs["mask_preds"], t_mask.outputs["mask_preds"])
                of_masks = confidence[s_mask.rows(s_boxes)]
                terms.setdefault("mask", []).append(_weighted(error, of_masks))
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def _classes(self, s: Tensor, t: Tensor, head: nn.Module) -> tuple[Tensor, Tensor]:
        """Returns the term of the classes and the teacher's confidence, ``[N, classes]``."""
        if getattr(head.loss_cls, "custom_activation", False):  # Seesaw: classes and objectness
            p, q = (head.loss_cls.get_activation(x) for x in (t, s))
            divergence, confidence = categorical_kl(q, p), p
        elif getattr(head.loss_cls, "use_sigmoid", False):
            divergence, confidence = binary_kl(s, t).sum(1), t.sigmoid()
        else:
            divergence, confidence = softmax_kl(s, t), t.softmax(1)
        count = mean_over_processes(s.new_tensor(float(len(s)))).clamp(min=1.0)
        return divergence.sum() / count, confidence[:, : head.num_classes]


def _scores(scores: Tensor, head: nn.Module) -> Tensor:
    """Reshapes scores to ``[N, classes]``.

    Heads for several instances (CrowdDet) return more than one row per RoI, and query heads an
    extra dimension for the images.
    """
    width = scores.shape[-1]
    if not getattr(head.loss_cls, "custom_activation", False):
        width = head.num_classes + (not getattr(head.loss_cls, "use_sigmoid", False))
    return scores.float().reshape(-1, width)


def _box_error(student: dict[str, Any], teacher: dict[str, Any], rows: int) -> Tensor | None:
    """Returns the boxes' error ``[N, C]``, or None if the head predicts no boxes.

    If all classes share a box, the error is ``[N, 1]``.

    Args:
        student: the student's outputs of a call for boxes.
        teacher: the teacher's outputs of the same call.
        rows: number of rows N of the scores.
    """
    if isinstance(student.get("bbox_pred"), tuple):  # SABL: the bucket and the offset in it
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


def _weighted(error: Tensor, confidence: Tensor) -> Tensor:
    """Averages an error, weighted by the confidence ``[N, C]``, to a scalar.

    The error is ``[N, C]``, or ``[N, 1]`` if it is the same for every class.
    """
    total = mean_over_processes(confidence.sum()).clamp(min=1e-3)
    weight = confidence if error.shape[1] > 1 else confidence.sum(1, keepdim=True)
    return (error * weight).sum() / total
