r"""PKD: Pearson correlation between the features (Cao et al., "PKD: General Distillation
Framework for Object Detectors via Pearson Correlation Coefficient", NeurIPS 2022, eq. 4).

.. math:: L = \frac{1}{2N} \sum (\hat r - \hat a)^2 = 1 - \rho(r, a),
          \qquad \hat x = \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}}

Mean and variance are those of a channel over batch and pixels. The loss compares only the patterns
of rates and activations: scale and offset of the unbounded activations drop out. The epsilon is
larger than the usual 1e-6, because a channel that never spikes has variance 0 and would get a
gradient of 1/sqrt(epsilon).
"""

from mmengine.registry import MODELS
from torch import Tensor

from ...runtime.arguments import typed
from ...runtime.errors import UserError
from ...runtime.processes import mean_over_processes
from .base import FeatureLoss


def _standardise(x: Tensor, eps: float) -> Tensor:
    centred = x - mean_over_processes(x.mean((0, 2, 3), keepdim=True))
    var = mean_over_processes(centred.square().mean((0, 2, 3), keepdim=True))
    return centred * (var + eps).rsqrt()


def pearson_distance(student: Tensor, teacher: Tensor, eps: float = 1e-3) -> Tensor:
    """Returns the PKD loss, a scalar in 0..2 that is zero when both features are equal.

    Args:
        student: firing rates ``[B, C, H, W]``.
        teacher: activations ``[B, C, H, W]``.
        eps: added to the variances. Default: 1e-3.

    Example:
        >>> import torch
        >>> from sakd_dense.distill.losses import pearson_distance
        >>> rates = torch.arange(16.0).view(1, 1, 4, 4) / 16
        >>> f"{pearson_distance(rates, rates):.2f}, {pearson_distance(rates, -rates):.2f}"
        '0.00, 1.98'
    """
    return (_standardise(student, eps) - _standardise(teacher, eps)).square().mean() / 2


@MODELS.register_module()
class FeaturePKD(FeatureLoss):
    """Feature loss of :func:`pearson_distance`, over the batches of all processes together.

    Args:
        eps: added to the variances. Default: 1e-3.

    Example:
        >>> import torch
        >>> from sakd_dense.distill import FeaturePKD
        >>> rates = torch.rand(2, 4, 8, 8)
        >>> f"{FeaturePKD().compare(rates, 3 * rates + 1).item():.2f}"  # scale and offset drop out
        '0.00'
    """

    @typed
    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if eps < 0:
            raise UserError(f"FeaturePKD: eps={eps!r}: must be at least 0")
        self.eps = eps

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        return pearson_distance(student, teacher, self.eps)
