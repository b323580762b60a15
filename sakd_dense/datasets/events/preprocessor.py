"""Batches of event frames for detectors."""

from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.registry import MODELS

from .batches import EventBatches


@MODELS.register_module()
class EventDetDataPreprocessor(EventBatches, DetDataPreprocessor):
    """Preprocessor that pads, stacks and normalises a detector's event frames ``[T, C, H, W]``.

    Args:
        time: ``'first'`` (default): ``[T, B, C, H, W]``, which a spiking backbone reads as its time
            axis; ``'mean'``: ``[B, C, H, W]``, the mean over T; ``'channels'``: ``[B, T*C, H, W]``.
            The last two are for the ANN of the same architecture.
        mean, std: sequences of one value, or of one per polarity, for normalisation; default: none.
            Raw counts cost accumulations in the first convolution, normalised counts cost
            multiplications (:mod:`sakd_dense.energy`).
        kwargs: arguments of mmdet's ``DetDataPreprocessor`` except those of colours.

    Raises:
        UserError: ``time`` is unknown, an argument swaps colours, only one of ``mean`` and
            ``std`` is given or their lengths differ, or the streams have other axes or differ in
            T or C.

    Example:
        >>> import torch
        >>> from mmengine.registry import MODELS
        >>> preprocessor = MODELS.build(dict(type="EventDetDataPreprocessor", pad_size_divisor=8))
        >>> streams = [torch.zeros(2, 2, 4, 6), torch.zeros(2, 2, 8, 6)]
        >>> preprocessor(dict(inputs=streams))["inputs"].shape
        torch.Size([2, 2, 2, 8, 8])
    """


__all__ = ["EventDetDataPreprocessor"]
