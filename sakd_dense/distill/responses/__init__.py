"""Comparisons of the final responses of student and teacher, one file per kind of model.

:func:`find_response` tries each kind on the student in turn.
"""

from typing import Any

from torch import nn

from .base import Response
from .classifier import ClassifierResponse
from .dense import DenseHeadResponse
from .heads import declare_head
from .queries import QueryResponse
from .segmentor import SegmentorResponse
from .two_stage import TwoStageResponse

KINDS: tuple[type[Response], ...] = (
    QueryResponse,
    TwoStageResponse,
    DenseHeadResponse,
    SegmentorResponse,
    ClassifierResponse,
)


def find_response(model: nn.Module, **options: Any) -> Response | None:
    """Returns the response that fits ``model``, or None if no kind fits (features only).

    Args:
        model: the student.
        options: arguments of the response's class, such as the weights of its terms.

    Example:
        >>> from mmengine.registry import MODELS
        >>> from sakd_dense.config import load_config
        >>> from sakd_dense.distill.responses import find_response
        >>> cfg = load_config("sakd_dense::retinanet_sew18_sakd_digits.py")
        >>> type(find_response(MODELS.build(cfg.model), cls=2.0)).__name__
        'DenseHeadResponse'
    """
    for kind in KINDS:
        if kind.fits(model):
            return kind(**options)
    return None


__all__ = [
    "KINDS",
    "ClassifierResponse",
    "DenseHeadResponse",
    "QueryResponse",
    "Response",
    "SegmentorResponse",
    "TwoStageResponse",
    "declare_head",
    "find_response",
]
