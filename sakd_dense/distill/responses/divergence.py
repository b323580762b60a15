r"""Kullback-Leibler divergences of the student's scores from the teacher's, elementwise.

.. math:: \mathrm{KL}(p \,\|\, q) = \sum_k p_k \log\frac{p_k}{q_k} = H(p, q) - H(p)

Zero when both agree, unlike the cross-entropy :math:`H(p, q)`, whose gradient is the same.
"""

import torch.nn.functional as F
from torch import Tensor

from ...runtime.errors import UserError


def binary_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Logits of one shape -> the divergence of the two Bernoulli variables, of that shape."""
    target = teacher.sigmoid()
    cross = F.binary_cross_entropy_with_logits(student, target, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(teacher, target, reduction="none")
    return cross - entropy


def softmax_kl(student: Tensor, teacher: Tensor, tau: float = 1.0, dim: int = 1) -> Tensor:
    r"""Logits -> :math:`\tau^2 \mathrm{KL}` of their softmax over ``dim`` at temperature tau.

    Hinton et al., "Distilling the Knowledge in a Neural Network", 2015: the factor keeps the
    gradient's size when tau changes. ``dim`` is summed out.
    """
    log_q = (student / tau).log_softmax(dim)
    log_p = (teacher / tau).log_softmax(dim)
    return (log_p.exp() * (log_p - log_q)).sum(dim) * tau**2


def categorical_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Probabilities ``[N, K]`` -> the divergence of the student's from the teacher's, ``[N]``.
    They need not add up to 1 (Seesaw loss): a scale of their own makes no difference.
    """
    q, p = (F.normalize(x.clamp(min=1e-8), p=1, dim=1) for x in (student, teacher))
    return (p * (p.log() - q.log())).sum(1)


def check_tau(tau: float) -> float:
    """``tau``, or a UserError for one that is not above 0."""
    if not tau > 0:
        raise UserError(f"responses: tau={tau!r}: must be above 0")
    return tau
