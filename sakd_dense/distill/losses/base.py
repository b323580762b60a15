"""Base class of the feature losses, which checks shapes and computes in float32."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ...runtime.errors import UserError


class FeatureLoss(nn.Module, ABC):
    """Base class of losses between the features of student and teacher.

    ``forward`` takes the firing rates and the activations of one stage, both ``[B, C, H, W]``, and
    returns a scalar.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise UserError(
                f"{type(self).__name__}: the student's feature {tuple(student.shape)} and the "
                f"teacher's {tuple(teacher.shape)} differ in shape: teacher and student must share "
                "their architecture"
            )
        return self.compare(student.float(), teacher.detach().float())

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the loss between two float32 features of the same shape."""
