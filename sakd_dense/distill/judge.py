r"""The teacher's frozen neck and head as the judge of the student's features.

Teacher and student share their architecture, so that the teacher's neck and head read the student's
features without an adaptor. What they say of them is compared with what they say of the teacher's
own, and the gradient reaches the student's backbone alone. CrossKD (Wang et al., CVPR 2024) feeds
features from inside the student's head to the teacher's head likewise.

A firing rate has another scale than an activation. Each channel is therefore brought to the
teacher's mean and deviation over batch and pixels:

.. math:: \tilde r = (r - \mathrm{mean}(r)) \sqrt{\frac{\mathrm{var}(a) + \epsilon}
          {\mathrm{var}(r) + \epsilon}} + \mathrm{mean}(a)
"""

from torch import Tensor

from ..runtime.processes import mean_over_processes

#: As in :mod:`.losses.pkd`: a channel that never spikes has variance 0.
EPS = 1e-3


def as_teacher(student: Tensor, teacher: Tensor) -> Tensor:
    """student, teacher ``[B, C, H, W]`` -> the student's in the teacher's mean and deviation.

    Example:
        >>> import torch
        >>> from sakd_dense.distill.judge import as_teacher
        >>> rates = torch.arange(8.0).view(2, 1, 2, 2) / 8
        >>> f"{as_teacher(rates, 3 * rates + 1).mean():.2f}"  # the mean of the teacher
        '2.31'
    """
    centred, variance, _ = _moments(student)
    _, target, mean = _moments(teacher.detach())
    return centred * ((target + EPS) / (variance + EPS)).sqrt() + mean


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = x.float()
    mean = mean_over_processes(x.mean((0, 2, 3), keepdim=True))
    centred = x - mean
    return centred, mean_over_processes(centred.square().mean((0, 2, 3), keepdim=True)), mean


__all__ = ["EPS", "as_teacher"]
