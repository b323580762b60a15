"""Matching of the student's queries with the teacher's. Not measured on a real data set."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from .outputs import mask_error

MATCHES = ("auto", "index", "hungarian")


@torch.no_grad()
def match(student: Any, teacher: Any, sigmoid: bool) -> tuple[Tensor, Tensor]:
    """Assigns the student's queries one to one to the teacher's, at the least cost per image.

    The assignment is that of Carion et al., "End-to-End Object Detection with Transformers", ECCV
    2020, eq. 1, with the teacher's predictions as the labels. The cost of a pair is the L1 distance
    of its class probabilities, plus that of its boxes and the divergence of its masks, if the
    queries have them.

    Args:
        student: :class:`.queries.Queries` of ``[B, Q_s]``.
        teacher: :class:`.queries.Queries` of ``[B, Q_t]``.
        sigmoid: whether each class has its own sigmoid, instead of one softmax over all classes.

    Returns:
        The rows of the student's and of the teacher's queries, both ``[B, min(Q_s, Q_t)]``.
    """
    from scipy.optimize import linear_sum_assignment

    assignments = []
    for image in range(len(student.scores)):
        s, t = (x.scores[image].float() for x in (student, teacher))
        p, q = (x.sigmoid() if sigmoid else x.softmax(1) for x in (t, s))
        cost = torch.cdist(q, p, p=1)
        if student.boxes is not None:
            s, t = (x.boxes[image].float() for x in (student, teacher))
            cost = cost + torch.cdist(s, t, p=1)
        if student.masks is not None:
            s, t = (x.masks[image].float() for x in (student, teacher))
            # One row at a time: all pairs at once would take Q times the memory of the masks.
            cost = cost + torch.stack([mask_error(row.expand_as(t), t) for row in s])
        assignments.append(linear_sum_assignment(cost.nan_to_num(1e4).cpu().numpy()))
    device = student.scores.device
    return tuple(
        torch.stack([torch.as_tensor(pair[side], device=device) for pair in assignments])
        for side in (0, 1)
    )


def reordered(queries: Any, rows: Tensor) -> Any:
    """Selects the ``rows`` ``[B, Q']`` of every field of ``queries``."""
    images = torch.arange(len(rows), device=rows.device)[:, None]
    values = {f.name: getattr(queries, f.name) for f in fields(queries)}
    return type(queries)(**{k: v if v is None else v[images, rows] for k, v in values.items()})
