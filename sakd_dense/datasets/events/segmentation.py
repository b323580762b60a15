"""Batches of event frames for segmentors."""

from mmengine.registry import MODELS
from mmseg.models import SegDataPreProcessor

from .batches import EventBatches


@MODELS.register_module()
class EventSegDataPreprocessor(EventBatches, SegDataPreProcessor):
    """Preprocessor that pads, stacks and normalises a segmentor's event frames ``[T, C, H, W]``.

    Args:
        time, mean, std: see :class:`~sakd_dense.datasets.EventDetDataPreprocessor`.
        kwargs: arguments of mmseg's ``SegDataPreProcessor`` except those of colours.

    Test a segmentor on complete frames (``test_cfg=dict(mode='whole')``), because mmseg's sliding
    window does not support a time axis.

    Example:
        >>> import torch
        >>> from mmengine.registry import MODELS
        >>> preprocessor = MODELS.build(dict(type="EventSegDataPreprocessor", time="mean"))
        >>> preprocessor(dict(inputs=[torch.zeros(2, 2, 4, 6)]))["inputs"].shape
        torch.Size([1, 2, 4, 6])
    """


__all__ = ["EventSegDataPreprocessor"]
