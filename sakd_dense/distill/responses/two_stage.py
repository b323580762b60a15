r"""Two-stage detectors: Faster, Mask and Cascade R-CNN.

The region proposal network is compared as a one-stage head (:mod:`.dense`). Student and teacher
would sample other RoIs, which cannot be compared; both are asked about the *student's* sampled
RoIs. With the teacher's probability :math:`p_{nc}` of RoI *n* to be class *c* (background aside):

.. math::
    L_{cls} &= \frac{1}{N} \sum_n \mathrm{KL}(p_n \,\|\, q_n) \\
    L_{box} &= \frac{1}{\sum p} \sum_{n,c} p_{nc}\, \tfrac14 \lVert\delta_s-\delta_t\rVert_1 \\
    L_{mask} &= \frac{1}{\sum p} \sum_{n,c} p_{nc}\, \mathrm{mean}_{hw}\,\mathrm{KL}(m_t \,\|\, m_s)

Deltas and masks of a class thus count as far as the teacher sees that class. The stages of a
cascade are averaged.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..processes import mean_over_processes
from .base import Call, Response, neck
from .dense import check_gamma, compare_heads, run_head, sigmoid_head
from .divergence import binary_kl, softmax_kl


@dataclass
class Answer:
    """What a model says: of all anchors, and stage by stage of some RoIs ``[N, 5]``."""

    rpn: Any
    rois: list[Tensor]
    boxes: list[tuple[Tensor, Tensor]]
    mask_rois: list[Tensor] = field(default_factory=list)
    masks: list[Tensor] = field(default_factory=list)


def _stages(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, nn.ModuleList) else [module]


class _Parts:
    """The modules of a RoI head that matter here, stage by stage."""

    def __init__(self, roi_head: nn.Module) -> None:
        self.extractors = _stages(roi_head.bbox_roi_extractor)
        self.heads = _stages(roi_head.bbox_head)
        self.shared = roi_head.shared_head if roi_head.with_shared_head else None
        self.mask_extractors: list[nn.Module] = []
        self.mask_heads: list[nn.Module] = []
        # Where box and mask share an extractor, the mask's RoIs are not seen; labels teach it.
        if roi_head.with_mask and not getattr(roi_head, "share_roi_extractor", False):
            self.mask_extractors = _stages(roi_head.mask_roi_extractor)
            self.mask_heads = _stages(roi_head.mask_head)

    @property
    def groups(self) -> tuple[list[nn.Module], ...]:
        return self.extractors, self.heads, self.mask_extractors, self.mask_heads

    def ask(
        self, extractor: nn.Module, head: nn.Module, features: tuple[Tensor, ...], rois: Tensor
    ) -> Any:
        pooled = extractor(features[: extractor.num_inputs], rois)
        return head(pooled if self.shared is None else self.shared(pooled))


class TwoStageResponse(Response):
    """Args: weights of ``rpn_cls``, ``rpn_box``, ``cls``, ``box`` and ``mask``; ``gamma`` as in
    :class:`.dense.DenseHeadResponse`."""

    terms: ClassVar = {"rpn_cls": 1.0, "rpn_box": 1.0, "cls": 1.0, "box": 1.0, "mask": 1.0}

    def __init__(self, gamma: float = 1.0, **weights: Any) -> None:
        super().__init__(**weights)
        self.gamma = check_gamma(gamma)

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        if not sigmoid_head(getattr(model, "rpn_head", None)):
            return False
        from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead

        roi_head = getattr(model, "roi_head", None)
        return isinstance(roi_head, StandardRoIHead | CascadeRoIHead) and roi_head.with_bbox

    def modules(self, model: nn.Module) -> list[nn.Module]:
        return [model.rpn_head, *(m for group in _Parts(model.roi_head).groups for m in group)]

    def gather(self, calls: list[list[Call]], model: nn.Module) -> Answer:
        (_, rpn), *rest = self.once(calls)
        groups = []
        for group in _Parts(model.roi_head).groups:
            groups.append(rest[: len(group)])
            rest = rest[len(group) :]
        extractors, heads, mask_extractors, mask_heads = groups
        return Answer(
            rpn,
            [inputs[1] for inputs, _ in extractors],
            [output[:2] for _, output in heads],
            [inputs[1] for inputs, _ in mask_extractors],
            [output for _, output in mask_heads],
        )

    def run(self, model: nn.Module, features: tuple[Tensor, ...], like: Answer) -> Answer:
        features = neck(model, features)
        p = _Parts(model.roi_head)
        boxes = [
            p.ask(extractor, head, features, rois)[:2]
            for extractor, head, rois in zip(p.extractors, p.heads, like.rois, strict=True)
        ]
        masks = [
            p.ask(extractor, head, features, rois)
            for extractor, head, rois in zip(
                p.mask_extractors, p.mask_heads, like.mask_rois, strict=True
            )
        ]
        rpn = run_head(model.rpn_head, features)
        return Answer(rpn, like.rois, boxes, like.mask_rois, masks)

    def compare(
        self, student: Answer, teacher: Answer, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        rpn = compare_heads(student.rpn, teacher.rpn, model.rpn_head, self.gamma)
        terms: dict[str, list[Tensor]] = {f"rpn_{k}": [v] for k, v in rpn.items()}
        heads = _stages(model.roi_head.bbox_head)
        for stage, head in enumerate(heads):
            s_cls, s_box = (x.float() for x in student.boxes[stage])
            t_cls, t_box = (x.float() for x in teacher.boxes[stage])
            sigmoid = getattr(head.loss_cls, "use_sigmoid", False)
            kl = binary_kl(s_cls, t_cls).sum(1) if sigmoid else softmax_kl(s_cls, t_cls)
            count = mean_over_processes(s_cls.new_tensor(float(len(s_cls)))).clamp(min=1.0)
            terms.setdefault("cls", []).append(kl.sum() / count)

            seen = t_cls.sigmoid() if sigmoid else t_cls.softmax(1)
            seen = seen[:, : head.num_classes]
            error = (s_box - t_box).abs().unflatten(1, (-1, 4)).mean(2)
            terms.setdefault("box", []).append(_weighted(error, seen))
            if student.masks:
                error = binary_kl(student.masks[stage].float(), teacher.masks[stage].float())
                which = _rows_of(student.mask_rois[stage], student.rois[stage])
                terms.setdefault("mask", []).append(_weighted(error.mean((2, 3)), seen[which]))
        return {name: torch.stack(values).mean() for name, values in terms.items()}


def _weighted(error: Tensor, seen: Tensor) -> Tensor:
    """error ``[N, C]`` or, the same for every class, ``[N, 1]``; seen ``[N, C]`` -> a scalar."""
    total = mean_over_processes(seen.sum()).clamp(min=1e-3)
    return (error * (seen if error.shape[1] > 1 else seen.sum(1, keepdim=True))).sum() / total


def _rows_of(rows: Tensor, table: Tensor) -> Tensor:
    """For each of ``rows``, where in ``table`` it stands: the mask's RoIs are some of the box's."""
    if not len(rows):
        return torch.zeros(0, dtype=torch.long, device=rows.device)
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(rows.float(), table.float(), compute_mode=exact).argmin(1)
