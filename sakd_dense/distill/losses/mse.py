r"""Mean squared error between firing rates and activations.

.. math:: L = \frac{1}{N} \sum (r - a)^2 \qquad\text{or}\qquad
          L = \frac{1}{N} \sum_c \frac{\sum (r_c - a_c)^2}{\mathrm{mean}(a_c^2) + \epsilon}

Activations *a* are unbounded. A rate *r* lies in 0..1 for a neuron, and in 0..n+1 after n SEW sums.
Without a scale, the few channels with large activations dominate the loss, although the student
cannot reach them. ``scale='channel'`` divides each channel by the teacher's own mean square in the
batch. This scale has no learned parameters, and all channels count alike.
"""

from mmengine.registry import MODELS
from torch import Tensor

from ...runtime.arguments import typed
from ...runtime.errors import UserError
from ...runtime.processes import mean_over_processes
from .base import FeatureLoss

SCALES = ("none", "channel")


def rate_mse(student: Tensor, teacher: Tensor, scale: str = "none", eps: float = 1e-3) -> Tensor:
    """Returns the mean squared error, a scalar that is zero when both features are equal.

    Args:
        student: firing rates ``[B, C, H, W]``.
        teacher: activations ``[B, C, H, W]``.
        scale: ``'none'``, or ``'channel'`` to divide by the teacher's mean square of each channel.
        eps: added to that mean square. Default: 1e-3.

    Example:
        >>> import torch
        >>> from sakd_dense.distill.losses import rate_mse
        >>> rates, activations = torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), 2.0)
        >>> rate_mse(rates, activations), rate_mse(rates, activations, scale="channel", eps=0)
        (tensor(4.), tensor(1.))
    """
    error = (student - teacher).square()
    if scale == "channel":
        square = mean_over_processes(teacher.square().mean((0, 2, 3), keepdim=True))
        error = error / (square + eps)
    return error.mean()


@MODELS.register_module()
class FeatureMSE(FeatureLoss):
    """Feature loss of :func:`rate_mse`.

    Args:
        scale: ``'none'`` (default) or ``'channel'``.
        eps: added to the teacher's mean square with ``scale='channel'``. Default: 1e-3.

    Example:
        >>> import torch
        >>> from sakd_dense.distill import FeatureMSE
        >>> rates = torch.rand(2, 4, 8, 8)
        >>> f"{FeatureMSE().compare(rates, rates + 1).item():.2f}"
        '1.00'
    """

    @typed
    def __init__(self, scale: str = "none", eps: float = 1e-3) -> None:
        super().__init__()
        if scale not in SCALES:
            raise UserError(f"FeatureMSE: scale={scale!r}: must be one of {SCALES}")
        if eps < 0:
            raise UserError(f"FeatureMSE: eps={eps!r}: must be at least 0")
        self.scale = scale
        self.eps = eps

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        return rate_mse(student, teacher, self.scale, self.eps)
