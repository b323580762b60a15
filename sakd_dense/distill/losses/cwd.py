r"""CWD: where each channel looks (Shu et al., "Channel-wise Knowledge Distillation for Dense
Prediction", ICCV 2021, eq. 3 and 4).

.. math:: L = \frac{\tau^2}{BC} \sum_{b,c} \sum_i p_i \log\frac{p_i}{q_i},
          \qquad p = \mathrm{softmax}_i(a / \tau),\; q = \mathrm{softmax}_i(r / \tau)

The softmax runs over the pixels of a channel, so the offset of the activations drops out and
their scale only sharpens the target. Averaged over images and channels: the value does not grow
with the resolution.
"""

from mmengine.registry import MODELS
from torch import Tensor

from ...runtime.arguments import typed
from ...runtime.errors import UserError
from .base import FeatureLoss


def channel_wise_distillation(student: Tensor, teacher: Tensor, tau: float = 1.0) -> Tensor:
    """student, teacher ``[B, C, H, W]`` -> a scalar, zero when equal.

    Example:
        >>> import torch
        >>> from sakd_dense.distill.losses import channel_wise_distillation
        >>> rates = torch.zeros(1, 2, 4, 4)
        >>> channel_wise_distillation(rates, rates + 1)  # offset drops out
        tensor(0.)
    """
    log_q = (student / tau).flatten(2).log_softmax(-1)
    log_p = (teacher / tau).flatten(2).log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean() * tau**2


@MODELS.register_module()
class FeatureCWD(FeatureLoss):
    """:func:`channel_wise_distillation`. Args: ``tau``: the temperature, above 0.

    Example:
        >>> import torch
        >>> from sakd_dense.distill import FeatureCWD
        >>> rates = torch.rand(2, 4, 8, 8)
        >>> f"{FeatureCWD(tau=1.0).compare(rates, rates + 1).abs().item():.2f}"  # offset drops out
        '0.00'
    """

    @typed
    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        if not tau > 0:
            raise UserError(f"FeatureCWD: tau={tau!r}: must be above 0")
        self.tau = tau

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        return channel_wise_distillation(student, teacher, self.tau)
