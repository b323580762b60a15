"""Calls of a RoI head, recorded from one model and replayed by another.

A RoI head's own methods ``_bbox_forward`` and ``_mask_forward`` combine its extractors, shared
head, semantic branch and stages. The teacher (or the student at a prefix) replays the calls of the
student's forward on its own maps: the RoIs are the student's, and everything computed from maps is
the replaying model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..taps import MethodCall, MethodTap


@dataclass
class RoICall:
    """One call of a RoI head.

    Attributes:
        method: name of the method.
        arguments: arguments by name.
        outputs: outputs by name (``cls_score``, ``mask_preds``, ...).
    """

    method: str
    arguments: dict[str, Any]
    outputs: dict[str, Any]

    @property
    def masks(self) -> bool:
        """Whether the call predicts masks, not boxes."""
        return self.method == "_mask_forward"

    @property
    def stage(self) -> int:
        """Index of the cascade's stage; 0 without a cascade."""
        return self.arguments.get("stage", 0)

    def rows(self, boxes: "RoICall") -> Tensor:
        """Returns the index of the nearest RoI of ``boxes`` for each RoI of these masks, ``[M]``.

        The RoIs of the masks are some of those of the boxes. In a head that refines boxes first
        (HTC), they lie near them.
        """
        if self.arguments.get("rois") is None:  # one extractor for both
            return self.arguments["pos_inds"].nonzero()[:, 0]
        return _rows_of(self.arguments["rois"], boxes.arguments["rois"])


def roi_tap(roi_head: nn.Module) -> MethodTap:
    """Returns a recorder of the calls of ``roi_head``."""
    return MethodTap(roi_head, "_bbox_forward", "_mask_forward")


def roi_calls(calls: Sequence[MethodCall]) -> list[RoICall]:
    """Converts the calls of :func:`roi_tap` to :class:`RoICall`."""
    return [RoICall(call.method, call.arguments, call.output) for call in calls]


def stages(calls: Sequence[RoICall]) -> list[tuple[RoICall, list[RoICall]]]:
    """Returns each call for boxes with the calls for masks that follow it."""
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
    """Replays the student's calls ``reference`` with ``model``.

    Args:
        model: a two-stage detector.
        maps: output of the model's neck.
        reference: the calls, with their methods and RoIs.
        semantic: the model's own map of a semantic branch; None without one.

    Returns:
        The calls, with the outputs of ``model``.
    """
    head = model.roi_head
    context = getattr(head, "glbctx_head", None)
    replaced: dict[str, Any] = dict(x=maps, semantic_feat=semantic)
    replaced["glbctx_feat"] = context(maps)[1] if context is not None else None
    calls: list[RoICall] = []
    boxes = reference_boxes = None  # the last call for boxes, of this model and of the reference
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
    """Returns the arguments of a call for masks that the box head computes."""
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
    """Returns the queries (Sparse R-CNN) of the previous stage, or the initial ones."""
    if before is not None:
        return before.outputs["object_feats"]
    start = model.rpn_head.init_proposal_features.weight
    return start.expand(call.arguments["object_feats"].shape[0], -1, -1)


def _rows_of(rows: Tensor, table: Tensor) -> Tensor:
    """Returns the index of the row of ``table`` that is nearest to each of ``rows``, ``[M]``.

    ``rows`` is ``[M, 5]``, ``table`` is ``[N, 5]``.
    """
    if not len(rows):
        return torch.zeros(0, dtype=torch.long, device=rows.device)
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(rows.float(), table.float(), compute_mode=exact).argmin(1)
