r"""Kullback-Leibler divergences of the student's scores from the teacher's, without a mean.

.. math:: \mathrm{KL}(p \,\|\, q) = \sum_k p_k \log\frac{p_k}{q_k} = H(p, q) - H(p)

The divergence is zero when both agree. The cross-entropy :math:`H(p, q)` is not, but has the same
gradient.
"""

import torch.nn.functional as F
from torch import Tensor

from ...runtime.errors import UserError


def binary_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the elementwise divergence of Bernoulli variables, from logits of one shape."""
    target = teacher.sigmoid()
    cross = F.binary_cross_entropy_with_logits(student, target, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(teacher, target, reduction="none")
    return cross - entropy


def softmax_kl(student: Tensor, teacher: Tensor, tau: float = 1.0, dim: int = 1) -> Tensor:
    r"""Returns :math:`\tau^2 \mathrm{KL}` of the softmax over ``dim`` at temperature tau.

    The factor :math:`\tau^2` keeps the gradient's size when tau changes (Hinton et al., "Distilling
    the Knowledge in a Neural Network", 2015). The inputs are logits; ``dim`` is summed out.
    """
    log_q = (student / tau).log_softmax(dim)
    log_p = (teacher / tau).log_softmax(dim)
    return (log_p.exp() * (log_p - log_q)).sum(dim) * tau**2


def categorical_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the divergence ``[N]`` of the student's probabilities from the teacher's, ``[N, K]``.

    The probabilities need not add up to 1 (Seesaw loss), because each row is normalised first.
    """
    q, p = (F.normalize(x.clamp(min=1e-8), p=1, dim=1) for x in (student, teacher))
    return (p * (p.log() - q.log())).sum(1)


def check_tau(tau: float) -> float:
    """Returns ``tau``, or raises UserError if it is not above 0."""
    if not tau > 0:
        raise UserError(f"responses: tau={tau!r}: must be above 0")
    return tau
