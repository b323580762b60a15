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
    """


__all__ = ["EventSegDataPreprocessor"]
