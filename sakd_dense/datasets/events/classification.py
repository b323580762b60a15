"""Batches of event frames for classifiers."""

from mmengine.registry import MODELS
from mmpretrain.models import ClsDataPreprocessor

from .batches import EventBatches


@MODELS.register_module()
class EventDataPreprocessor(EventBatches, ClsDataPreprocessor):
    """Preprocessor that stacks a classifier's event frames ``[T, C, H, W]``.

    Mixup and cutmix (``batch_augments``) mix complete streams: every frame of a pair in the same
    way. The arguments are those of :class:`~sakd_dense.datasets.EventDetDataPreprocessor`, except
    that ``kwargs`` are arguments of mmpretrain's ``ClsDataPreprocessor``.

    Example:
        >>> import torch
        >>> from sakd_dense.datasets import EventDataPreprocessor
        >>> streams = [torch.zeros(4, 2, 32, 32), torch.zeros(4, 2, 32, 32)]
        >>> EventDataPreprocessor(time="first")(dict(inputs=streams))["inputs"].shape
        torch.Size([4, 2, 2, 32, 32])
    """


__all__ = ["EventDataPreprocessor"]
