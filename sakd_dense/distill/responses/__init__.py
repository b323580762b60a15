"""Final responses, one file a kind of model.

A response is found from the student itself: :func:`find_response` tries each kind in turn.
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
    """The response that fits ``model``; None where no kind does (features only).

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
