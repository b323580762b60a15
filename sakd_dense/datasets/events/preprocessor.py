"""Batches of event frames for detectors."""

from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.registry import MODELS

from .batches import EventBatches


@MODELS.register_module()
class EventDetDataPreprocessor(EventBatches, DetDataPreprocessor):
    """Pads, stacks and normalises event frames ``[T, C, H, W]`` of a detector.

    Args:
        time: ``'first'``: ``[T, B, C, H, W]``, which a spiking backbone takes for its time axis;
            ``'mean'``: ``[B, C, H, W]``, the mean over T; ``'channels'``: ``[B, T*C, H, W]``. The
            last two are for the ANN of the same architecture.
        mean, std: one value, or one a polarity. Counts that are left as they are accumulate in the
            first convolution; divided they are multiplied (:mod:`sakd_dense.energy`).
        kwargs: of mmdet's ``DetDataPreprocessor``, but those of colours.

    Raises:
        UserError: for another ``time``, for colours, for streams of other axes or several T.

    Example:
        >>> import torch
        >>> from mmengine.registry import MODELS
        >>> preprocessor = MODELS.build(dict(type="EventDetDataPreprocessor", pad_size_divisor=8))
        >>> streams = [torch.zeros(2, 2, 4, 6), torch.zeros(2, 2, 8, 6)]
        >>> preprocessor(dict(inputs=streams))["inputs"].shape
        torch.Size([2, 2, 2, 8, 8])
    """


__all__ = ["EventDetDataPreprocessor"]
