"""What each head of mmdet gives: the kinds of its outputs, in their order.

Found from the head's type or the first of its bases that is listed. Another head is declared in
one line: ``declare_head("MyHead", "scores", "boxes")``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from ...runtime.errors import UserError
from .outputs import ERRORS

#: Beside those of :data:`.outputs.ERRORS`. ``probabilities``: scores after their sigmoid;
#: ``presence``: logits of an object, whose probability multiplies that of each class (YOLOX).
SPECIAL = ("scores", "probabilities", "objectness", "presence", "features")
Layout = tuple[Any, ...]

_LAYOUTS: dict[str, Layout | None] = {
    "AnchorHead": ("scores", "boxes"),
    "AnchorFreeHead": ("scores", "boxes", "quality"),
    "ATSSHead": ("scores", "boxes", "quality"),
    "CenterNetHead": ("probabilities", "values", "values"),
    "CondInstBboxHead": ("scores", "boxes", "quality", "kernels"),
    "DDODHead": ("scores", "boxes", "quality"),
    "DecoupledSOLOHead": ("masks_x", "masks_y", "scores"),
    "FoveaHead": ("scores", "values"),
    "GFLHead": ("scores", "distribution"),
    "GuidedAnchorHead": ("scores", "boxes", "values", "objectness"),
    "RepPointsHead": ("scores", "values", "values"),
    "SABLRetinaHead": ("scores", ("buckets", "values")),
    "SOLOHead": ("masks", "scores"),
    "SOLOV2Head": ("kernels", "scores", "features"),
    "TOODHead": ("probabilities", "corners"),
    "VFNetHead": ("scores", "boxes", "boxes"),
    "YOLACTHead": ("scores", "boxes", "kernels"),
    "YOLOXHead": ("scores", "values", "presence"),
    # Not dense, though derived from a dense head.
    "MaskFormerHead": None,
    "StageCascadeRPNHead": None,
}


def declare_head(head: str, *outputs: Any) -> None:
    """Says what a head of the type named ``head`` (or derived from it) gives.

    Args:
        head: the name of a type.
        outputs: for each output of its ``forward``, in order, one of :data:`.outputs.ERRORS` or
            :data:`SPECIAL`; a tuple of kinds where each level is a tuple. Exactly one is
            ``'scores'`` or ``'probabilities'``. Further outputs are not taught.

    Raises:
        UserError: for a kind that is not known, or not exactly one output of scores.
    """
    flat = [k for o in outputs for k in (o if isinstance(o, tuple) else (o,))]
    unknown = [k for k in flat if k not in ERRORS and k not in SPECIAL]
    if unknown:
        raise UserError(f"{head}: {unknown[0]!r}: take one of {', '.join((*SPECIAL, *ERRORS))}")
    if sum(k in SPECIAL[:2] for k in flat) != 1:
        raise UserError(f"{head}: {outputs!r} names 'scores' or 'probabilities' not once")
    _LAYOUTS[head] = outputs


def layout_of(head: nn.Module | None) -> Layout | None:
    """The kinds of a head's outputs; None where it is not known."""
    names = (cls.__name__ for cls in type(head).__mro__)
    return next((_LAYOUTS[name] for name in names if name in _LAYOUTS), None)


def outputs_by_kind(
    output: Sequence[Any], layout: Layout | None
) -> Iterator[tuple[str, Sequence[Tensor]]]:
    """(kind, its levels) of each output of a head; a single tensor is one level."""
    for kind, levels in zip(layout or (), output, strict=False):
        if isinstance(kind, tuple):
            yield from outputs_by_kind(tuple(zip(*levels, strict=True)), kind)
        else:
            yield kind, [levels] if isinstance(levels, Tensor) else levels
