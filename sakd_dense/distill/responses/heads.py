"""Kinds of the outputs of each head of mmdet, in their order.

The entry of a head is that of its type or of the first of its bases that is listed. One line
declares another head: ``declare_head("MyHead", "scores", "boxes")``.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import UserError
from .outputs import ERRORS

#: Kinds beside those of :data:`.outputs.ERRORS`. ``probabilities``: scores after their sigmoid;
#: ``presence``: logits of an object, whose probability multiplies that of each class (YOLOX).
SPECIAL = ("scores", "probabilities", "objectness", "presence", "features")
Layout = tuple[Any, ...]

_LAYOUTS: dict[str, Layout | None] = {
    "AnchorHead": ("scores", "boxes"),
    "AnchorFreeHead": ("scores", "boxes", "quality"),
    "ATSSHead": ("scores", "boxes", "quality"),
    "CenterNetHead": ("probabilities", "values", "values"),
    "CentripetalHead": ("scores", "values", "values", "values"),
    "CondInstBboxHead": ("scores", "boxes", "quality", "kernels"),
    "CornerHead": ("scores", "values", "values"),
    "DDODHead": ("scores", "boxes", "quality"),
    "DecoupledSOLOHead": ("masks_x", "masks_y", "scores"),
    "FoveaHead": ("scores", "values"),
    "GFLHead": ("scores", "distribution"),
    "GuidedAnchorHead": ("scores", "boxes", "values", "objectness"),
    "RepPointsHead": ("scores", "values", "values"),
    "RTMDetHead": ("scores", "boxes"),
    "RTMDetInsHead": ("scores", "boxes", "kernels", "features"),
    "SABLRetinaHead": ("scores", ("buckets", "values")),
    "SOLOHead": ("masks", "scores"),
    "SOLOV2Head": ("kernels", "scores", "features"),
    "TOODHead": ("probabilities", "corners"),
    "VFNetHead": ("scores", "boxes", "boxes"),
    "YOLACTHead": ("scores", "boxes", "kernels"),
    "YOLOV3Head": ("scores", "values", "presence"),
    "YOLOXHead": ("scores", "values", "presence"),
    # Not dense, though derived from a dense head.
    "MaskFormerHead": None,
    "StageCascadeRPNHead": None,
}


def _yolov3(head: Any, output: Any) -> tuple[list[Tensor], ...]:
    """Splits maps ``[B, A*(5+K), H, W]`` into scores, boxes, presence of A*B one-anchor images."""
    maps = [x.unflatten(1, (head.num_base_priors, -1)).flatten(0, 1) for x in output[0]]
    return [x[:, 5:] for x in maps], [x[:, :4] for x in maps], [x[:, 4:5] for x in maps]


def _corners(head: Any, output: Any) -> tuple[list[Tensor], ...]:
    """Joins the maps of upper left corners and of lower right corners to 2*B images."""
    pairs = zip(output[::2], output[1::2], strict=True)
    return tuple(
        [torch.cat(corners) for corners in zip(*pair, strict=True)]
        for pair in pairs
        if pair[0][0] is not None  # CentripetalHead has no embeddings
    )


#: ``(head, output) -> outputs`` of heads whose ``forward`` does not return one output per kind.
_UNPACK: dict[str, Callable[[Any, Any], Sequence[Any]]] = {
    "YOLOV3Head": _yolov3,
    "CornerHead": _corners,
}


def declare_head(
    head: str, *outputs: Any, unpack: Callable[[Any, Any], Sequence[Any]] | None = None
) -> None:
    """Declares the outputs of heads of the type named ``head`` and of types derived from it.

    Args:
        head: name of the type.
        outputs: kind of each output of ``forward``, in order: a key of :data:`.outputs.ERRORS` or
            one of :data:`SPECIAL`. If each level is a tuple, the kind is a tuple of kinds. Exactly
            one kind is ``'scores'`` or ``'probabilities'``. Further outputs are not taught.
        unpack: function ``(head, output) -> outputs``, needed if one tensor holds several kinds.

    Raises:
        UserError: a kind is unknown, or not exactly one output holds scores.

    Example:
        >>> from sakd_dense.distill.responses import declare_head
        >>> declare_head("MyHead", "scores", "boxes", "quality")
    """
    flat = [k for o in outputs for k in (o if isinstance(o, tuple) else (o,))]
    unknown = [k for k in flat if k not in ERRORS and k not in SPECIAL]
    if unknown:
        raise UserError(f"{head}: {unknown[0]!r}: must be one of {', '.join((*SPECIAL, *ERRORS))}")
    if sum(k in SPECIAL[:2] for k in flat) != 1:
        raise UserError(
            f"{head}: {outputs!r} must contain 'scores' or 'probabilities' exactly once"
        )
    _LAYOUTS[head] = outputs
    if unpack is not None:
        _UNPACK[head] = unpack


def layout_of(head: nn.Module | None) -> Layout | None:
    """Returns the kinds of a head's outputs, or None if the head is unknown."""
    return _declared(head, _LAYOUTS)


def _declared(head: nn.Module | None, known: dict[str, Any]) -> Any:
    names = (cls.__name__ for cls in type(head).__mro__)
    return next((known[name] for name in names if name in known), None)


def unpacked(head: nn.Module, output: Sequence[Any]) -> Sequence[Any]:
    """Returns the outputs of ``head``'s ``forward``, one per kind of its layout."""
    unpack = _declared(head, _UNPACK)
    return output if unpack is None else unpack(head, output)


def outputs_by_kind(
    output: Sequence[Any], layout: Layout | None
) -> Iterator[tuple[str, Sequence[Tensor]]]:
    """Yields the kind and the levels of each output of a head; a single tensor is one level."""
    for kind, levels in zip(layout or (), output, strict=False):
        if isinstance(kind, tuple):
            yield from outputs_by_kind(tuple(zip(*levels, strict=True)), kind)
        else:
            yield kind, [levels] if isinstance(levels, Tensor) else levels
