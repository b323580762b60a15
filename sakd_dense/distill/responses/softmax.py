r"""Losses between the classes of two softmaxes: KL, DKD and DIST.

Each loss takes logits ``[N, K]`` of student and teacher and the target class ``[N]``. It returns a
float32 value for each row, ``[N]``, which is zero when both are equal.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...runtime.errors import UserError
from .divergence import check_tau, softmax_kl

SoftmaxLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def kl(student: Tensor, teacher: Tensor, target: Tensor, tau: float = 1.0) -> Tensor:
    """Returns :func:`.divergence.softmax_kl`; the target class has no effect."""
    return softmax_kl(student, teacher, tau)


def dkd(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    tau: float = 1.0,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Tensor:
    r"""Returns DKD (Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, eq. 7).

    DKD separates the confidence in the target class from the distribution among the other classes
    and weights them separately.

    .. math:: L = \tau^2 \left(\alpha\, \mathrm{KL}(b_t \,\|\, b_s)
              + \beta\, \mathrm{KL}(\hat p_t \,\|\, \hat p_s)\right)

    with *b* the pair (target, all others) and :math:`\hat p` the softmax without the target. The
    paper uses ``beta=0.5`` for ImageNet and ``beta=8`` for CIFAR-100. The default is ours and not
    measured.
    """
    is_target = F.one_hot(target, student.shape[1]).bool()

    def pair(logits: Tensor) -> Tensor:
        logs = (logits / tau).log_softmax(1)
        others = logs.masked_fill(is_target, -torch.inf).logsumexp(1)
        return torch.stack([logs[is_target], others], 1)

    log_b, log_a = pair(student), pair(teacher)
    sure = (log_a.exp() * (log_a - log_b)).sum(1) * tau**2
    # Far below every logit, but finite: 0 * inf is NaN.
    s, t = (x.masked_fill(is_target, -1e4 * tau) for x in (student, teacher))
    return alpha * sure + beta * softmax_kl(s, t, tau)


def dist(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    tau: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    r"""Returns DIST (Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
    eq. 9), which compares relations instead of values.

    .. math:: L = \tau^2 \left(\beta\, (1 - \rho_{rows}) + \gamma\, (1 - \rho_{classes})\right)

    with :math:`\rho` Pearson's correlation of both softmaxes, over the classes of a row and over
    the rows of a class. The second term is the same for every row. Not measured.
    """
    s, t = ((x / tau).softmax(1) for x in (student, teacher))
    across = 1 - _pearson(s, t, 1)
    along = (1 - _pearson(s, t, 0)).mean() if len(s) > 1 else across.new_zeros(())
    return tau**2 * (beta * across + gamma * along)


def _pearson(a: Tensor, b: Tensor, dim: int) -> Tensor:
    a, b = (x - x.mean(dim, keepdim=True) for x in (a, b))
    both_flat = (a.norm(dim=dim) < 1e-6) & (b.norm(dim=dim) < 1e-6)
    return F.cosine_similarity(a, b, dim=dim, eps=1e-12).masked_fill(both_flat, 1.0)


LOSSES: dict[str, Callable[..., Tensor]] = {"kl": kl, "dkd": dkd, "dist": dist}


def softmax_loss(loss: str | Mapping[str, Any], **defaults: Any) -> SoftmaxLoss:
    """Returns a loss of this module with its arguments set.

    Args:
        loss: ``'kl'``, ``'dkd'``, ``'dist'``, or a dict with arguments, such as
            ``dict(type='dkd', tau=4.0, beta=8.0)``.
        defaults: arguments that ``loss`` may override.

    Raises:
        UserError: for an unknown type or argument, or a temperature that is not above 0.
    """
    args = {**defaults, **(dict(type=loss) if isinstance(loss, str) else loss)}
    name = args.pop("type", None)
    if name not in LOSSES:
        raise UserError(f"responses: loss={loss!r}: must be one of {tuple(LOSSES)}")
    allowed = list(inspect.signature(LOSSES[name]).parameters)[3:]
    unknown = sorted(set(args) - set(allowed))
    if unknown:
        raise UserError(
            f"responses: loss={loss!r}: {unknown[0]} is not an argument of {name}; its arguments "
            "are " + ", ".join(allowed)
        )
    check_tau(args.get("tau", 1.0))
    return partial(LOSSES[name], **args)
