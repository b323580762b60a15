r"""Comparison of dense heads by kind of output, independent of the detector's name.

The teacher's probability is *p* and the student's is *q*, per anchor and class. The teacher's
confidence *c* of an anchor is its largest *p* or, for a softmax, 1 minus the background's *p*. With
the sum over all anchors :math:`C = \sum c`:

.. math::
    L_{cls} = \frac{1}{C} \sum d(p, q)^{\gamma}\, \mathrm{KL}(p \,\|\, q), \qquad
    L_{term} = \frac{1}{C} \sum c\, e(\text{student}, \text{teacher})

KL is the divergence, not the cross-entropy, so that it is zero when both agree. The factor
:math:`d(p, q)`, which has no gradient, is the distance of both: :math:`|p - q|` or, for a softmax,
half of :math:`\sum |p - q|`. It keeps the many easy background anchors from dominating. *C* counts
objects as the teacher sees them, and grows with resolution, batch and levels as the sums do. Over
several processes *C* is averaged, as mmdet averages its number of positives. The error *e* of an
anchor depends on the kind of output, see :data:`ERRORS`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...runtime.errors import UserError
from ...runtime.processes import mean_over_processes
from .divergence import binary_kl, check_tau, softmax_kl

Levels = Sequence[Tensor]
Error = Callable[[Levels, Levels, int, nn.Module], Tensor]


def rows(levels: Levels, width: int) -> Tensor:
    """Joins the anchors of all levels and images: ``[B, A*width, H, W]`` each -> ``[N, width]``.

    N is the number of all these anchors; the result is float32.
    """
    return torch.cat([x.float().permute(0, 2, 3, 1).reshape(-1, width) for x in levels])


def compare_scores(
    student: Tensor, teacher: Tensor, sigmoid: bool, gamma: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Compares two sets of class scores row by row.

    Args:
        student: logits ``[N, K]``; for a softmax, the last class is the background.
        teacher: logits ``[N, K]``.
        sigmoid: whether each class has its own sigmoid, instead of one softmax over all classes.
        gamma: exponent of the distance that weights the divergence. Default: 1.0.

    Returns:
        The weighted divergence of each row and the teacher's confidence, both ``[N]``.
    """
    if sigmoid:
        p, q = teacher.sigmoid(), student.detach().sigmoid()
        return ((p - q).abs() ** gamma * binary_kl(student, teacher)).sum(1), p.amax(1)
    p, q = teacher.softmax(1), student.detach().softmax(1)
    total_variation = (p - q).abs().sum(1) / 2
    return total_variation**gamma * softmax_kl(student, teacher), 1 - p[:, -1]


def joint_logits(scores: Tensor, presence: Tensor) -> Tensor:
    r"""Returns logits of :math:`\sigma(a)\,\sigma(b)` from logits a ``[N, K]`` and b ``[N, 1]``."""
    both = nn.functional.logsigmoid(scores) + nn.functional.logsigmoid(presence)
    return both - torch.log1p(-both.exp().clamp(max=1 - 1e-6))


def objects(confidence: Tensor) -> Tensor:
    """Returns *C*, the divisor of the sums over anchors."""
    return mean_over_processes(confidence.sum()).clamp(min=1e-3)


def _pairs(student: Levels, teacher: Levels, anchors: int) -> tuple[Tensor, Tensor]:
    width = student[0].shape[1] // anchors
    return rows(student, width), rows(teacher, width)


def _difference(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
    s, t = _pairs(student, teacher, anchors)
    return (s - t).abs().mean(1)


def _relative(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
    s, t = _pairs(student, teacher, anchors)
    return (s - t).abs().mean(1) / (t.abs().mean(1) + 1e-3)


def _boxes(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
    deltas = hasattr(getattr(head, "bbox_coder", None), "stds")
    return (_difference if deltas else _relative)(student, teacher, anchors, head)


def corner_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the L1 error of boxes as corners, in units of the teacher's box.

    ``[..., 4]`` -> ``[...]``.
    """
    size = (teacher[..., 2:] - teacher[..., :2]).abs().mean(-1)
    return (student - teacher).abs().mean(-1) / (size + 1e-3)


def _corners(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
    return corner_error(*_pairs(student, teacher, anchors))


def localization_distillation(student: Tensor, teacher: Tensor, tau: float = 1.0) -> Tensor:
    r"""Returns :math:`\tau^2 \mathrm{KL}` of a box, averaged over its four sides, ``[N]``.

    The inputs are logits of the sides' distances, ``[N, 4, n+1]`` (LD: Zheng et al., "Localization
    Distillation for Dense Object Detection", CVPR 2022, eq. 3).
    """
    return softmax_kl(student, teacher, tau, dim=2).mean(1)


def distribution_error(loss: str = "ld", tau: float = 1.0) -> Error:
    """Returns the error function for distributions of the sides' distances.

    Args:
        loss: ``'ld'`` (default): :func:`localization_distillation`; ``'l1'``: L1 of the expected
            distances, relative to the teacher's.
        tau: temperature of LD. Default: 1.0.

    Raises:
        UserError: for another loss, or a temperature that is not above 0.
    """
    if loss not in ("ld", "l1"):
        raise UserError(f"responses: box_loss={loss!r}: must be 'ld' or 'l1'")
    check_tau(tau)

    def error(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
        s, t = (x.unflatten(1, (4, -1)) for x in _pairs(student, teacher, anchors))
        if loss == "ld":
            return localization_distillation(s, t, tau)
        steps = torch.arange(s.shape[2], device=s.device, dtype=s.dtype)
        s, t = (x.softmax(2) @ steps for x in (s, t))
        return (s - t).abs().mean(1) / (t.mean(1) + 1e-3)

    return error


def _binary(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
    return binary_kl(*_pairs(student, teacher, anchors)).mean(1)


def mask_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Averages the divergence of mask logits over pixels, ``[..., H, W]`` -> ``[...]``."""
    return binary_kl(student.float(), teacher.float()).mean((-2, -1))


def _masks(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
    pairs = zip(student, teacher, strict=True)
    return torch.cat([mask_error(s, t).flatten() for s, t in pairs])


def _cells(along: int) -> Error:
    # Decoupled masks: one for every row and one for every column of the grid.
    def error(student: Levels, teacher: Levels, anchors: int, head: nn.Module) -> Tensor:
        lines = []
        for s, t in zip(student, teacher, strict=True):
            line = mask_error(s, t)
            lines.append(line.unsqueeze(along).expand(-1, *[line.shape[1]] * 2).flatten())
        return torch.cat(lines)

    return error


#: Kind of output -> (its term, its error for each anchor).
ERRORS: dict[str, tuple[str, Error]] = {
    # Deltas of an anchor (L1), or distances from a point (L1 relative to the teacher's).
    "boxes": ("box", _boxes),
    # x1, y1, x2, y2: L1 in units of the teacher's box.
    "corners": ("box", _corners),
    # Logits of a discrete distribution of each side's distance (GFL): LD.
    "distribution": ("box", distribution_error()),
    # Logits of independent binary variables, such as SABL's buckets: binary KL.
    "buckets": ("box", _binary),
    # Any other numbers that define a box (points, sizes, offsets): L1 relative to the teacher's.
    "values": ("box", _relative),
    # Centerness, IoU: binary KL.
    "quality": ("quality", _binary),
    # Numbers that define a mask (coefficients, kernels): L1 relative to the teacher's.
    "kernels": ("mask", _relative),
    # A mask for each cell of the grid, or for each of its columns and rows: binary KL.
    "masks": ("mask", _masks),
    "masks_x": ("mask", _cells(1)),
    "masks_y": ("mask", _cells(2)),
}


def feature_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the L1 error of maps from which masks are built, relative to the teacher's maps.

    ``[B, E, H, W]`` -> a scalar.
    """
    student, teacher = student.float(), teacher.float()
    return (student - teacher).abs().mean() / (teacher.abs().mean() + 1e-3)
