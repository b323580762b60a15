"""Event frames for a teacher, which is an ANN without a time axis.

By default the teacher sees the mean of the frames. A teacher whose own ``data_preprocessor`` has
``time='channels'`` sees all T frames, concatenated along the channels. Its first convolution then
has T weights where the student's has one. For T equal frames ``x`` it computes
``(w_1 + ... + w_T) * x``. Level 1 therefore gives the student, which sees one frame at a time, the
sum of the weights over T.
"""

from dataclasses import replace

from torch import Tensor, nn

from ..runtime.errors import UserError
from ..transfer.read import Checkpoint
from ..transfer.weights import select_tested_model


def stacks_frames(teacher: nn.Module) -> bool:
    """Returns whether the teacher sees the frames as channels."""
    return getattr(getattr(teacher, "data_preprocessor", None), "time", None) == "channels"


def frames_for(teacher: nn.Module, inputs: Tensor) -> Tensor:
    """Converts the student's input to the teacher's input.

    Args:
        teacher: the ANN.
        inputs: event frames ``[T, B, C, H, W]``, or images ``[B, C, H, W]``, which are returned
            unchanged.

    Returns:
        The mean of the frames, ``[B, C, H, W]``, or the stacked frames, ``[B, T*C, H, W]``.

    Raises:
        UserError: the teacher was trained on another number of frames.
    """
    if inputs.dim() != 5:
        return inputs
    if not stacks_frames(teacher):
        return inputs.mean(0)
    seen = inputs.transpose(0, 1).flatten(1, 2)
    wanted = _first_convolution(teacher.backbone)[1].in_channels
    if seen.shape[1] != wanted:
        raise UserError(
            f"SAKDHook: the teacher takes {wanted} channels, but {inputs.shape[0]} frames of "
            f"{inputs.shape[2]} channels are {seen.shape[1]}: train the teacher on as many frames "
            "as the student's"
        )
    return seen


def summed_over_frames(checkpoint: Checkpoint, student: nn.Module) -> Checkpoint:
    """Sums the first convolution's weights in a checkpoint over the stacked frames.

    The teacher of the checkpoint sees all frames at once, the student one at a time.
    """
    source = select_tested_model(checkpoint)
    name, convolution = _first_convolution(student)
    weight, ours = source.state.get(f"{name}.weight"), convolution.weight
    if weight is None or weight.dim() != 4 or weight.shape[1] % ours.shape[1]:
        return source  # level 1 reports what does not fit
    summed = weight.unflatten(1, (-1, ours.shape[1])).sum(1)
    return replace(source, state={**source.state, f"{name}.weight": summed})


def _first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d]:
    return next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))


__all__ = ["frames_for", "stacks_frames", "summed_over_frames"]
