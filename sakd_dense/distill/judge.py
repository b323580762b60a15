r"""Judge of the student's features: the teacher's frozen neck and head.

Teacher and student share their architecture, so the teacher's neck and head can process the
student's features without an adaptor. Their predictions are compared with those from the teacher's
own features. The gradient reaches only the student's backbone. CrossKD (Wang et al., CVPR 2024)
likewise feeds features from inside the student's head to the teacher's head.

Firing rates and activations differ in scale. Each channel is therefore rescaled to the teacher's
mean and standard deviation over batch and pixels:

.. math:: \tilde r = (r - \mathrm{mean}(r)) \sqrt{\frac{\mathrm{var}(a) + \epsilon}
          {\mathrm{var}(r) + \epsilon}} + \mathrm{mean}(a)
"""

from torch import Tensor

from ..runtime.processes import mean_over_processes

#: As in :mod:`.losses.pkd`: a channel that never spikes has variance 0.
EPS = 1e-3


def as_teacher(student: Tensor, teacher: Tensor) -> Tensor:
    """Rescales each channel of the student to the teacher's mean and standard deviation.

    Args:
        student: firing rates ``[B, C, H, W]``.
        teacher: activations ``[B, C, H, W]``.
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
