"""What a RoI head was asked, and the same questions for another model.

A RoI head's own methods ``_bbox_forward`` and ``_mask_forward`` know how its extractors, shared
head, semantic branch and stages play together. What they were asked in the student's forward is
asked again of the teacher (or of the student at a prefix), with its own maps: the RoIs are the
student's, everything that is made from maps is the answering model's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..taps import Call, MethodTap


@dataclass
class Question:
    """One call: its arguments by name, and what was said (``cls_score``, ``mask_preds``, ...)."""

    method: str
    asked: dict[str, Any]
    said: dict[str, Any]

    @property
    def masks(self) -> bool:
        return self.method == "_mask_forward"

    @property
    def stage(self) -> int:
        return self.asked.get("stage", 0)

    def rows(self, boxes: "Question") -> Tensor:
        """For each RoI of these masks, the nearest RoI of ``boxes``, as its index, ``[M]``.

        The mask's RoIs are some of the box's; in a head that refines boxes first (HTC), they lie
        near them.
        """
        if self.asked.get("rois") is None:  # one extractor for both
            return self.asked["pos_inds"].nonzero()[:, 0]
        return _rows_of(self.asked["rois"], boxes.asked["rois"])


def roi_tap(roi_head: nn.Module) -> MethodTap:
    return MethodTap(roi_head, "_bbox_forward", "_mask_forward")


def questions(calls: Sequence[Call]) -> list[Question]:
    """From the calls of :func:`roi_tap`."""
    return [Question(*call.inputs, call.output) for call in calls]


def ask(
    model: nn.Module, maps: tuple[Tensor, ...], like: Sequence[Question], semantic: Any = None
) -> list[Question]:
    """The answers of ``model`` to the questions ``like``.

    Args:
        maps: what its neck gives.
        semantic: its own map of a semantic branch, where it has one.
    """
    head = model.roi_head
    context = getattr(head, "glbctx_head", None)
    own: dict[str, Any] = dict(x=maps, semantic_feat=semantic)
    own["glbctx_feat"] = context(maps)[1] if context is not None else None
    answers: list[Question] = []
    boxes = theirs = None  # the last question about boxes, as answered here and by the student
    for question in like:
        if question.masks and boxes is not None:
            own.update(_of_rois(head, question, boxes, theirs))
        elif "object_feats" in question.asked:
            own["object_feats"] = _objects(model, question, boxes)
        asked = {k: own[k] if k in own and v is not None else v for k, v in question.asked.items()}
        answer = Question(question.method, asked, getattr(head, question.method)(**asked))
        answers.append(answer)
        if not question.masks:
            boxes, theirs = answer, question
    return answers


def _of_rois(
    head: nn.Module, question: Question, boxes: Question, theirs: Question
) -> dict[str, Any]:
    """What masks are given of what the boxes' head made."""
    own = {"bbox_feats": boxes.said.get("bbox_feats")}
    if "relayed_feat" in question.asked:  # SCNet
        relayed = boxes.said["relayed_feat"][question.rows(theirs)]
        own["relayed_feat"] = head.feat_relay_head(relayed) if head.with_feat_relay else None
    if "attn_feats" in question.asked:  # QueryInst: the RoIs are the boxes that were just refined
        from mmdet.structures.bbox import bbox2roi

        refined = bbox2roi(theirs.said["detached_proposals"])
        features = boxes.said["attn_feats"].flatten(0, 1)
        own["attn_feats"] = features[_rows_of(question.asked["rois"], refined)]
    return own


def _objects(model: nn.Module, question: Question, before: Question | None) -> Tensor:
    """Queries (Sparse R-CNN): as the stage before left them, or as they start."""
    if before is not None:
        return before.said["object_feats"]
    start = model.rpn_head.init_proposal_features.weight
    return start.expand(question.asked["object_feats"].shape[0], -1, -1)


def _rows_of(rows: Tensor, table: Tensor) -> Tensor:
    """For each of ``rows``, ``[M, 5]``, where in ``table``, ``[N, 5]``, the nearest stands."""
    if not len(rows):
        return torch.zeros(0, dtype=torch.long, device=rows.device)
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(rows.float(), table.float(), compute_mode=exact).argmin(1)
