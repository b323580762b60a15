"""Base class of the feature losses, which checks shapes and computes in float32."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ...runtime.errors import UserError


def as_maps(features: Tensor) -> Tensor:
    """Returns features ``[B, C]``, which a backbone has pooled, as ``[B, C, 1, 1]``.

    Features ``[B, C, H, W]`` are returned as they are.
    """
    return features.view(*features.shape, *(1,) * (4 - features.dim()))


class FeatureLoss(nn.Module, ABC):
    """Base class of losses between the features of student and teacher.

    ``forward`` takes the firing rates and the activations of one stage and returns a scalar. Both
    are ``[B, C, H, W]``, or ``[B, C]`` from a backbone that pools its features, as ConvNeXt in
    mmpretrain.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise UserError(
                f"{type(self).__name__}: the student's feature {tuple(student.shape)} and the "
                f"teacher's {tuple(teacher.shape)} differ in shape: teacher and student must share "
                "their architecture"
            )
        return self.compare(as_maps(student).float(), as_maps(teacher).detach().float())

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the loss between two float32 features ``[B, C, H, W]`` of the same shape."""
