r"""Query heads: DETR and its variants, MaskFormer and Mask2Former (mmdet's and mmseg's).

The last decoder layer is compared, which is a model's final prediction. If queries are learned
(DETR, Deformable DETR, Mask2Former, ...), level 1 gave both models the same queries, and they are
compared one by one. If an encoder proposes them from the image (two-stage Deformable DETR, DINO,
DDQ), the Hungarian algorithm assigns the student's queries to the teacher's, see :mod:`.matching`.

With the teacher's confidence *c* of a query and :math:`C = \sum c`, classes are compared as in
:mod:`.outputs`, boxes and masks by

.. math::
    L_{box} = \frac{1}{C} \sum c\, \frac{\lVert b_s - b_t \rVert_1}{2\,(w_t + h_t)}, \qquad
    L_{mask} = \frac{1}{C} \sum c\, \mathrm{mean}_{hw}\, \mathrm{KL}(m_t \,\|\, m_s)

Queries for denoising and DDQ's dense queries serve only the loss on the labels; no term compares
them.
"""

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ...runtime.errors import UserError
from ..taps import MethodTap, Recorder, Tap
from .base import Response, neck
from .dense import check_gamma
from .matching import MATCHES, match, reordered
from .outputs import compare_scores, mask_error, objects


@dataclass
class Queries:
    """Predictions for each query.

    Attributes:
        scores: logits ``[B, Q, K]``.
        boxes: center and size ``[B, Q, 4]`` as fractions of the image, or None.
        masks: logits ``[B, Q, H, W]``, or None.
    """

    scores: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None


def _head(model: nn.Module) -> Any:
    names = ("bbox_head", "panoptic_head", "decode_head")
    heads = (getattr(model, name, None) for name in names)
    return next((h for h in heads if h is not None), None)


def _is_a(head: nn.Module | None, *names: str) -> bool:
    # By name: mmdet need not be installed, and mmseg's heads are derived from mmdet's.
    return any(cls.__name__ in names for cls in type(head).__mro__)


def _of_transformer(model: nn.Module, inputs: dict[str, Any], output: Any) -> Queries:
    """Returns the last layer of a DETR-like head, without queries that only training uses."""
    scores, boxes = (layers[-1] for layers in output[:2])
    noisy = (inputs.get("dn_meta") or {}).get("num_denoising_queries", 0)
    dense = (inputs.get("dn_meta") or {}).get("num_dense_queries", 0)
    kept = slice(noisy, scores.shape[1] - dense)
    return Queries(scores[:, kept], boxes[:, kept])


class QueryResponse(Response):
    """Response of a query head: scores, boxes and masks of the last decoder layer's queries.

    Not measured on a real data set.

    Args:
        gamma: exponent of the weight by which queries count less where both models agree. 0: all
            queries count alike. Default: 1.0.
        match: ``'index'``, ``'hungarian'``, or ``'auto'`` (default): by index if queries are
            learned, else Hungarian.
        weights: weights of the terms ``cls``, ``box``, ``mask``.

    Example:
        >>> from sakd_dense.distill.responses import QueryResponse
        >>> response = QueryResponse(match="hungarian")
        >>> list(response.terms), response.match
        (['cls', 'box', 'mask'], 'hungarian')
    """

    terms: ClassVar = {"cls": 1.0, "box": 1.0, "mask": 1.0}

    def __init__(self, gamma: float = 1.0, match: str = "auto", **weights: Any) -> None:
        super().__init__(**weights)
        self.gamma = check_gamma(gamma)
        if match not in MATCHES:
            raise UserError(f"responses: match={match!r}: must be one of {MATCHES}")
        self.match = match

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        head = _head(model)
        if _is_a(head, "DETRHead"):
            return hasattr(model, "forward_transformer")
        return _is_a(head, "MaskFormerHead")

    def taps(self, model: nn.Module) -> list[Recorder]:
        head = Tap(_head(model))
        if _is_a(_head(model), "DETRHead"):
            return [head, MethodTap(model, "forward_transformer")]
        return [head]

    def gather(self, calls: list[list[Any]], model: nn.Module) -> Queries:
        (_, output), *transformer = self.once(calls)
        if transformer:
            return _of_transformer(model, transformer[0].output, output)
        return Queries(output[0][-1], masks=output[1][-1])

    def run(
        self,
        model: nn.Module,
        features: tuple[Tensor, ...],
        reference: Any = None,
        samples: Any = None,
    ) -> Queries:
        head, maps = _head(model), neck(model, features)
        if _is_a(head, "MaskFormerHead"):
            scores, masks = head(maps, samples)
            return Queries(scores[-1], masks=masks[-1])
        inputs = model.forward_transformer(maps, samples)
        wanted = inspect.signature(head.forward).parameters
        return _of_transformer(model, inputs, head(**{k: inputs[k] for k in wanted}))

    def compare(
        self, student: Queries, teacher: Queries, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        if student.scores.shape[-1] != teacher.scores.shape[-1]:
            raise UserError(
                f"the student's {student.scores.shape[-1]} classes and the teacher's "
                f"{teacher.scores.shape[-1]} differ: use a teacher with the same classes"
            )
        sigmoid = bool(getattr(_head(model).loss_cls, "use_sigmoid", False))
        student, teacher = self._aligned(student, teacher, model, sigmoid)
        s, t = (x.scores.float().flatten(0, 1) for x in (student, teacher))
        error, confidence = compare_scores(s, t, sigmoid, self.gamma)
        count = objects(confidence)
        terms = {"cls": error.sum() / count}
        if student.boxes is not None and teacher.boxes is not None:
            s, t = (x.float().flatten(0, 1) for x in (student.boxes, teacher.boxes))
            error = (s - t).abs().mean(1) / (t[:, 2:].mean(1) + 1e-3)
            terms["box"] = (confidence * error).sum() / count
        if student.masks is not None and teacher.masks is not None:
            error = mask_error(student.masks, teacher.masks).flatten()
            terms["mask"] = (confidence * error).sum() / count
        return terms

    def _aligned(
        self, student: Queries, teacher: Queries, model: nn.Module, sigmoid: bool
    ) -> tuple[Queries, Queries]:
        """Returns the queries of both models in the same order."""
        learned = not getattr(model, "as_two_stage", False)
        if self.match == "index" or (self.match == "auto" and learned):
            if student.scores.shape != teacher.scores.shape:
                raise UserError(
                    f"the student's {student.scores.shape[1]} queries and the teacher's "
                    f"{teacher.scores.shape[1]} differ: set responses=dict(match='hungarian')"
                )
            return student, teacher
        pairs = match(student, teacher, sigmoid)
        return reordered(student, pairs[0]), reordered(teacher, pairs[1])
