"""One-stage detectors and instance segmentors: one head on the maps of a backbone or a neck.

:mod:`.heads` lists the outputs of each head; :mod:`.outputs` compares them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...runtime.errors import UserError
from ...runtime.patching import outputs_as_in_training
from ..taps import Recorder, Tap
from .base import Response, neck
from .heads import layout_of, outputs_by_kind, unpacked
from .outputs import (
    ERRORS,
    Error,
    compare_scores,
    distribution_error,
    feature_error,
    joint_logits,
    objects,
    rows,
)

#: Modules of a mask head whose output all masks share, and the neck's maps that they take.
_SHARED = {"mask_feature_head": lambda maps: maps, "protonet": lambda maps: maps[0]}


def run_head(head: nn.Module, features: tuple[Tensor, ...]) -> Any:
    """Runs ``head`` on the neck's ``features``, with boxes in the units used in training."""
    with outputs_as_in_training(head):
        return head(features)


def _uses_sigmoid(head: nn.Module) -> bool:
    return bool(getattr(head, "use_sigmoid_cls", True))


def compare_heads(
    student: Any,
    teacher: Any,
    head: nn.Module,
    gamma: float = 1.0,
    errors: Mapping[str, tuple[str, Error]] = ERRORS,
) -> dict[str, Tensor]:
    """Compares two outputs of ``head`` by the terms ``cls``, ``box``, ``quality`` and ``mask``.

    Only the terms that the head has are returned. Several outputs of one term are averaged.

    Args:
        student: output of the student's head.
        teacher: output of the teacher's head.
        head: the student's head.
        gamma: exponent of the weight by which anchors count less where both models agree. 0: all
            anchors count alike. Default: 1.0.
        errors: term and error of each kind of output, see :data:`.outputs.ERRORS`.
    """
    layout = layout_of(head)
    student, teacher = unpacked(head, student), unpacked(head, teacher)
    pairs = [
        (kind, s, t)
        for (kind, s), (_, t) in zip(
            outputs_by_kind(student, layout), outputs_by_kind(teacher, layout), strict=True
        )
    ]
    kind, s, t = next(p for p in pairs if p[0] in ("scores", "probabilities"))
    if kind == "probabilities":
        s, t = ([x.float().clamp(1e-6, 1 - 1e-6).logit() for x in levels] for levels in (s, t))
    classes = getattr(head, "cls_out_channels", s[0].shape[1])
    anchors = s[0].shape[1] // classes
    s, t = rows(s, classes), rows(t, classes)
    for _, here, there in (p for p in pairs if p[0] == "presence"):
        # A class score is trained only where there is an object, and has no meaning elsewhere.
        s, t = joint_logits(s, rows(here, 1)), joint_logits(t, rows(there, 1))
    if s.shape != t.shape:
        raise UserError(
            f"the student's {s.shape[0]} anchors and the teacher's {t.shape[0]} "
            "differ: teacher and student must share head, strides and anchors"
        )
    error, confidence = compare_scores(s, t, _uses_sigmoid(head), gamma)
    count = objects(confidence)
    terms = {"cls": [error.sum() / count]}
    for kind, s, t in pairs:
        if kind in errors:
            term, error = errors[kind]
            value = (confidence * error(s, t, anchors, head)).sum() / count
        elif kind == "objectness":  # separate scores for any object
            error, seen = compare_scores(rows(s, 1), rows(t, 1), True, gamma)
            term, value = "quality", error.sum() / objects(seen)
        elif kind == "features":
            term, value = "mask", feature_error(s[0], t[0])
        else:
            continue
        terms.setdefault(term, []).append(value)
    return {name: torch.stack(values).mean() for name, values in terms.items()}


def check_gamma(gamma: float) -> float:
    """Returns ``gamma``, or raises UserError if it is below 0."""
    if not gamma >= 0:
        raise UserError(f"responses: gamma={gamma!r}: must be a number of at least 0")
    return gamma


class DenseHeadResponse(Response):
    """Response of a dense head: classes, boxes and, if the head has them, quality and masks.

    Args:
        gamma: exponent of the weight by which anchors count less where both models agree. 0: all
            anchors count alike. Default: 1.0.
        box_loss: loss of heads that predict a distribution of each side's distance (GFL):
            ``'ld'`` (default, not measured on a real data set), or ``'l1'`` of the expected
            distances.
        tau: temperature of LD. Default: 1.0.
        weights: weights of the terms ``cls``, ``box``, ``quality``, ``mask``.

    Example:
        >>> from sakd_dense.distill.responses import DenseHeadResponse
        >>> list(DenseHeadResponse(gamma=1.0, box_loss="l1").terms)
        ['cls', 'box', 'quality', 'mask']
    """

    terms: ClassVar = {"cls": 1.0, "box": 1.0, "quality": 1.0, "mask": 1.0}

    def __init__(
        self, gamma: float = 1.0, box_loss: str = "ld", tau: float = 1.0, **weights: Any
    ) -> None:
        super().__init__(**weights)
        self.gamma = check_gamma(gamma)
        distribution = ("box", distribution_error(box_loss, tau))
        self.errors = {**ERRORS, "distribution": distribution}

    @staticmethod
    def _head(model: nn.Module) -> nn.Module | None:
        heads = (getattr(model, name, None) for name in ("bbox_head", "mask_head"))
        return next((head for head in heads if head is not None), None)

    @staticmethod
    def _shared(model: nn.Module) -> dict[str, nn.Module]:
        head = getattr(model, "mask_head", None)
        return {name: getattr(head, name) for name in _SHARED if hasattr(head, name)}

    @classmethod
    def fits(cls, model: nn.Module) -> bool:
        return layout_of(cls._head(model)) is not None

    def taps(self, model: nn.Module) -> list[Recorder]:
        return [Tap(m) for m in (self._head(model), *self._shared(model).values())]

    def gather(self, calls: list[list[Any]], model: nn.Module) -> tuple[Any, list[Tensor]]:
        (_, output), *shared = self.once(calls)
        return output, [made for _, made in shared]

    def run(
        self,
        model: nn.Module,
        features: tuple[Tensor, ...],
        reference: Any = None,
        samples: Any = None,
    ) -> tuple[Any, list[Tensor]]:
        maps = neck(model, features)
        shared = [module(_SHARED[name](maps)) for name, module in self._shared(model).items()]
        return run_head(self._head(model), maps), shared

    def compare(
        self, student: Any, teacher: Any, model: nn.Module, samples: Any = None
    ) -> dict[str, Tensor]:
        terms = compare_heads(student[0], teacher[0], self._head(model), self.gamma, self.errors)
        shared = [feature_error(s, t) for s, t in zip(student[1], teacher[1], strict=True)]
        if shared:
            made = [terms["mask"]] if "mask" in terms else []
            terms["mask"] = torch.stack([*made, *shared]).mean()
        return terms
