"""Final responses, one file a kind of head.

A response is found from the student itself: :func:`find_response` asks each kind in turn.
"""

from typing import Any

from torch import nn

from .base import Response
from .dense import DenseHeadResponse

KINDS: tuple[type[Response], ...] = (DenseHeadResponse,)


def find_response(model: nn.Module, **options: Any) -> Response | None:
    """The response that fits ``model``; None where no kind does (features only)."""
    for kind in KINDS:
        if kind.fits(model):
            return kind(**options)
    return None


__all__ = ["KINDS", "DenseHeadResponse", "Response", "find_response"]
