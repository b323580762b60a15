"""Conversion of event frames between a time axis and channels, for upstream's preprocessors."""

from typing import Any

from torch import Tensor

from ..runtime.errors import UserError

TIME = ("first", "mean", "channels")


def check_time(time: str) -> str:
    """Returns ``time`` unchanged.

    Raises:
        UserError: ``time`` is not one of :data:`TIME`.
    """
    if time not in TIME:
        raise UserError(f"time={time!r}: must be one of {TIME}")
    return time


def fold_time(inputs: Any, name: str) -> tuple[list[Tensor], int]:
    """Folds streams ``[T, C, H, W]`` into images ``[T*C, H, W]``, which upstream's code supports.

    Args:
        inputs: a list of streams, or a stack of them.
        name: name of the caller, for messages.

    Returns:
        The images, and T.

    Raises:
        UserError: the streams have other axes, or differ in T or C.
    """
    streams = list(inputs)
    shapes = sorted({tuple(s.shape) for s in streams})
    shared = {shape[:2] for shape in shapes}
    if len(shared) != 1 or len(shapes[0]) != 4:
        raise UserError(
            f"{name}: a batch has the shapes {shapes}, but all streams must be [T, C, H, W] of one "
            "shape, except for H and W"
        )
    return [s.flatten(0, 1) for s in streams], shapes[0][0]


def unfold_time(images: Tensor, steps: int, time: str) -> Tensor:
    """Unfolds the time axis of a batch ``[B, T*C, H, W]`` as the model needs it.

    Args:
        images: the batch.
        steps: number of time steps T.
        time: ``'first'``: ``[T, B, C, H, W]``, for a spiking backbone; ``'mean'``: the mean over T,
            ``[B, C, H, W]``; ``'channels'``: the batch unchanged. The last two are for an ANN.
    """
    if time == "channels":
        return images
    frames = images.unflatten(1, (steps, -1))
    return frames.transpose(0, 1) if time == "first" else frames.mean(1)


__all__ = ["TIME", "check_time", "fold_time", "unfold_time"]
