"""Kinds of the outputs of each head of mmdet, in their order.

Found from the head's type or the first of its bases that is listed. Another head is declared in
one line: ``declare_head("MyHead", "scores", "boxes")``.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
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
    """Maps ``[B, A*(5+K), H, W]`` -> scores, boxes and presence of A*B images of one anchor."""
    maps = [x.unflatten(1, (head.num_base_priors, -1)).flatten(0, 1) for x in output[0]]
    return [x[:, 5:] for x in maps], [x[:, :4] for x in maps], [x[:, 4:5] for x in maps]


def _corners(head: Any, output: Any) -> tuple[list[Tensor], ...]:
    """Maps of the upper left corners, then of the lower right ones -> both as 2*B images."""
    pairs = zip(output[::2], output[1::2], strict=True)
    return tuple(
        [torch.cat(corners) for corners in zip(*pair, strict=True)]
        for pair in pairs
        if pair[0][0] is not None  # CentripetalHead has no embeddings
    )


#: ``(head, output) -> outputs`` of heads whose ``forward`` does not give one output a kind.
_UNPACK: dict[str, Callable[[Any, Any], Sequence[Any]]] = {
    "YOLOV3Head": _yolov3,
    "CornerHead": _corners,
}


def declare_head(
    head: str, *outputs: Any, unpack: Callable[[Any, Any], Sequence[Any]] | None = None
) -> None:
    """Declares the outputs of a head of the type named ``head``, or derived from it.

    Args:
        head: the name of a type.
        outputs: for each output of its ``forward``, in order, one of :data:`.outputs.ERRORS` or
            :data:`SPECIAL`; a tuple of kinds where each level is a tuple. Exactly one is
            ``'scores'`` or ``'probabilities'``. Further outputs are not taught.
        unpack: ``(head, output) -> outputs``, where one tensor holds several kinds.

    Raises:
        UserError: for a kind that is not known, or not exactly one output of scores.

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
    """The kinds of a head's outputs; None where it is not known."""
    return _declared(head, _LAYOUTS)


def _declared(head: nn.Module | None, known: dict[str, Any]) -> Any:
    names = (cls.__name__ for cls in type(head).__mro__)
    return next((known[name] for name in names if name in known), None)


def unpacked(head: nn.Module, output: Sequence[Any]) -> Sequence[Any]:
    """The outputs of ``head``'s ``forward``, one a kind of its layout."""
    unpack = _declared(head, _UNPACK)
    return output if unpack is None else unpack(head, output)


def outputs_by_kind(
    output: Sequence[Any], layout: Layout | None
) -> Iterator[tuple[str, Sequence[Tensor]]]:
    """(kind, its levels) of each output of a head; a single tensor is one level."""
    for kind, levels in zip(layout or (), output, strict=False):
        if isinstance(kind, tuple):
            yield from outputs_by_kind(tuple(zip(*levels, strict=True)), kind)
        else:
            yield kind, [levels] if isinstance(levels, Tensor) else levels
