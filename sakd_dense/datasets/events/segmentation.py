"""Batches of event frames for segmentors."""

from mmengine.registry import MODELS
from mmseg.models import SegDataPreProcessor

from .batches import EventBatches


@MODELS.register_module()
class EventSegDataPreprocessor(EventBatches, SegDataPreProcessor):
    """Pads, stacks and normalises event frames ``[T, C, H, W]`` of a segmentor.

    Args:
        time, mean, std: as of :class:`~sakd_dense.datasets.EventDetDataPreprocessor`.
        kwargs: of mmseg's ``SegDataPreProcessor``, but those of colours.

    A segmentor tests on whole frames (``test_cfg=dict(mode='whole')``): mmseg's sliding window
    knows no time axis.

    Example:
        >>> import torch
        >>> from mmengine.registry import MODELS
        >>> preprocessor = MODELS.build(dict(type="EventSegDataPreprocessor", time="mean"))
        >>> preprocessor(dict(inputs=[torch.zeros(2, 2, 4, 6)]))["inputs"].shape
        torch.Size([1, 2, 4, 6])
    """


__all__ = ["EventSegDataPreprocessor"]
