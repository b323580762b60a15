r"""CWD: divergence between the spatial distributions of each channel (Shu et al., "Channel-wise
Knowledge Distillation for Dense Prediction", ICCV 2021, eq. 3 and 4).

.. math:: L = \frac{\tau^2}{BC} \sum_{b,c} \sum_i p_i \log\frac{p_i}{q_i},
          \qquad p = \mathrm{softmax}_i(a / \tau),\; q = \mathrm{softmax}_i(r / \tau)

The softmax runs over the pixels of a channel. The offset of the activations therefore drops out,
and their scale only sharpens the target. The loss is averaged over images and channels, so its
value does not grow with the resolution. It is zero for features of one pixel.
"""

from mmengine.registry import MODELS
from torch import Tensor

from ...runtime.arguments import typed
from ...runtime.errors import UserError
from .base import FeatureLoss


def channel_wise_distillation(student: Tensor, teacher: Tensor, tau: float = 1.0) -> Tensor:
    """Returns the CWD loss, a scalar that is zero when both features are equal.

    Args:
        student: firing rates ``[B, C, H, W]``.
        teacher: activations ``[B, C, H, W]``.
        tau: temperature. Default: 1.0.

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
    """Feature loss of :func:`channel_wise_distillation`.

    Args:
        tau: temperature, above 0. Default: 1.0.

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
