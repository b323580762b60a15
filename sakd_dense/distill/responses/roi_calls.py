"""The calls of a RoI head, recorded from one model and replayed by another.

A RoI head's own methods ``_bbox_forward`` and ``_mask_forward`` know how its extractors, shared
head, semantic branch and stages play together. The calls of the student's forward are replayed by
the teacher (or by the student at a prefix) on its own maps: the RoIs are the student's, everything
that is made from maps is the replaying model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..taps import MethodCall, MethodTap


@dataclass
class RoICall:
    """One call: its arguments by name, and its outputs (``cls_score``, ``mask_preds``, ...)."""

    method: str
    arguments: dict[str, Any]
    outputs: dict[str, Any]

    @property
    def masks(self) -> bool:
        """Whether it is about masks, not boxes."""
        return self.method == "_mask_forward"

    @property
    def stage(self) -> int:
        """Of a cascade."""
        return self.arguments.get("stage", 0)

    def rows(self, boxes: "RoICall") -> Tensor:
        """For each RoI of these masks, the nearest RoI of ``boxes``, as its index, ``[M]``.

        The mask's RoIs are some of the box's; in a head that refines boxes first (HTC), they lie
        near them.
        """
        if self.arguments.get("rois") is None:  # one extractor for both
            return self.arguments["pos_inds"].nonzero()[:, 0]
        return _rows_of(self.arguments["rois"], boxes.arguments["rois"])


def roi_tap(roi_head: nn.Module) -> MethodTap:
    """Records the calls of ``roi_head``."""
    return MethodTap(roi_head, "_bbox_forward", "_mask_forward")


def roi_calls(calls: Sequence[MethodCall]) -> list[RoICall]:
    """From the calls of :func:`roi_tap`."""
    return [RoICall(call.method, call.arguments, call.output) for call in calls]


def stages(calls: Sequence[RoICall]) -> list[tuple[RoICall, list[RoICall]]]:
    """Each call about boxes, with the calls about masks that follow it."""
    grouped: list[tuple[RoICall, list[RoICall]]] = []
    for call in calls:
        if call.masks:
            grouped[-1][1].append(call)
        else:
            grouped.append((call, []))
    return grouped


def replay(
    model: nn.Module,
    maps: tuple[Tensor, ...],
    reference: Sequence[RoICall],
    semantic: Any = None,
) -> list[RoICall]:
    """The calls ``reference`` (the student's) as ``model`` answers them.

    Args:
        model: a two-stage detector.
        maps: what its neck gives.
        reference: which method was called, on which RoIs.
        semantic: its own map of a semantic branch, where it has one.
    """
    head = model.roi_head
    context = getattr(head, "glbctx_head", None)
    replaced: dict[str, Any] = dict(x=maps, semantic_feat=semantic)
    replaced["glbctx_feat"] = context(maps)[1] if context is not None else None
    calls: list[RoICall] = []
    boxes = reference_boxes = None  # the last call about boxes, of this model and of the reference
    for call in reference:
        if call.masks and boxes is not None and reference_boxes is not None:
            replaced.update(_of_rois(head, call, boxes, reference_boxes))
        elif "object_feats" in call.arguments:
            replaced["object_feats"] = _objects(model, call, boxes)
        arguments = {
            k: replaced[k] if k in replaced and v is not None else v
            for k, v in call.arguments.items()
        }
        replayed = RoICall(call.method, arguments, getattr(head, call.method)(**arguments))
        calls.append(replayed)
        if not call.masks:
            boxes, reference_boxes = replayed, call
    return calls


def _of_rois(
    head: nn.Module, call: RoICall, boxes: RoICall, reference_boxes: RoICall
) -> dict[str, Any]:
    """The arguments of a call about masks that the head of boxes made."""
    replaced = {"bbox_feats": boxes.outputs.get("bbox_feats")}
    if "relayed_feat" in call.arguments:  # SCNet
        relayed = boxes.outputs["relayed_feat"][call.rows(reference_boxes)]
        replaced["relayed_feat"] = head.feat_relay_head(relayed) if head.with_feat_relay else None
    if "attn_feats" in call.arguments:  # QueryInst: the RoIs are the boxes that were just refined
        from mmdet.structures.bbox import bbox2roi

        refined = bbox2roi(reference_boxes.outputs["detached_proposals"])
        features = boxes.outputs["attn_feats"].flatten(0, 1)
        replaced["attn_feats"] = features[_rows_of(call.arguments["rois"], refined)]
    return replaced


def _objects(model: nn.Module, call: RoICall, before: RoICall | None) -> Tensor:
    """Queries (Sparse R-CNN): as the stage before left them, or as they start."""
    if before is not None:
        return before.outputs["object_feats"]
    start = model.rpn_head.init_proposal_features.weight
    return start.expand(call.arguments["object_feats"].shape[0], -1, -1)


def _rows_of(rows: Tensor, table: Tensor) -> Tensor:
    """For each of ``rows``, ``[M, 5]``, where in ``table``, ``[N, 5]``, the nearest stands."""
    if not len(rows):
        return torch.zeros(0, dtype=torch.long, device=rows.device)
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(rows.float(), table.float(), compute_mode=exact).argmin(1)
