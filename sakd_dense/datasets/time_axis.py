"""The time axis of a batch of event frames, hidden from upstream's preprocessors."""

from typing import Any

from torch import Tensor

from ..runtime.errors import UserError

TIME = ("first", "mean", "channels")


def check_time(time: str) -> str:
    """``time``.

    Raises:
        UserError: it is none of :data:`TIME`.

    Example:
        >>> from sakd_dense.datasets.time_axis import check_time
        >>> check_time("mean")
        'mean'
    """
    if time not in TIME:
        raise UserError(f"time={time!r}: must be one of {TIME}")
    return time


def fold_time(inputs: Any, name: str, one_size: bool = False) -> tuple[list[Tensor], int]:
    """Streams ``[T, C, H, W]`` as images ``[T*C, H, W]``, which upstream's code knows; and T.

    Args:
        inputs: a list of streams, or a stack of them.
        name: of who asks, for messages.
        one_size: whether H and W must be the same as well.

    Raises:
        UserError: for streams of other axes, or of several lengths.

    Example:
        >>> import torch
        >>> from sakd_dense.datasets.time_axis import fold_time
        >>> images, steps = fold_time([torch.zeros(4, 2, 8, 8)], "Mine")
        >>> images[0].shape, steps
        (torch.Size([8, 8, 8]), 4)
    """
    streams = list(inputs)
    shapes = sorted({tuple(s.shape) for s in streams})
    shared = {shape if one_size else shape[:2] for shape in shapes}
    if len(shared) != 1 or len(shapes[0]) != 4:
        raise UserError(
            f"{name}: a batch has the shapes {shapes}, but all streams must be [T, C, H, W] of one "
            f"shape{'' if one_size else ', except for H and W'}"
        )
    return [s.flatten(0, 1) for s in streams], shapes[0][0]


def unfold_time(images: Tensor, steps: int, time: str) -> Tensor:
    """A batch ``[B, T*C, H, W]`` as a model takes it.

    Args:
        images: the batch.
        steps: T.
        time: ``'first'``: ``[T, B, C, H, W]``, for a spiking backbone; ``'mean'``: the mean over T,
            ``[B, C, H, W]``; ``'channels'``: as it is. The last two are for an ANN.

    Example:
        >>> import torch
        >>> from sakd_dense.datasets.time_axis import unfold_time
        >>> images = torch.zeros(3, 8, 16, 16)
        >>> unfold_time(images, 4, "first").shape, unfold_time(images, 4, "mean").shape
        (torch.Size([4, 3, 2, 16, 16]), torch.Size([3, 2, 16, 16]))
    """
    if time == "channels":
        return images
    frames = images.unflatten(1, (steps, -1))
    return frames.transpose(0, 1) if time == "first" else frames.mean(1)


__all__ = ["TIME", "check_time", "fold_time", "unfold_time"]
