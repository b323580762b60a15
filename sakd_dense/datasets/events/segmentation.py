"""Batches of event frames for segmentors."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from mmseg.models import SegDataPreProcessor

from ..time_axis import check_time, fold_time, unfold_time
from .preprocessor import check_scale, keep_scale, refuse_colours, scaled


@MODELS.register_module()
class EventSegDataPreprocessor(SegDataPreProcessor):
    """Pads, stacks and normalises event frames ``[T, C, H, W]`` of a segmentor.

    Args:
        time, mean, std: as of :class:`~sakd_dense.datasets.EventDetDataPreprocessor`.
        kwargs: of mmseg's ``SegDataPreProcessor``, but those of colours.

    A segmentor tests on whole frames (``test_cfg=dict(mode='whole')``): mmseg's sliding window
    knows no time axis.
    """

    def __init__(
        self,
        time: str = "first",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_colours(type(self).__name__, kwargs)
        check_scale(mean, std)
        super().__init__(**kwargs)
        self.time = check_time(time)
        keep_scale(self, mean, std)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        images, steps = fold_time(data["inputs"], type(self).__name__)
        images = [scaled(self, image, steps) for image in self.cast_data(images)]
        batch = super().forward({**data, "inputs": images}, training)
        batch["inputs"] = unfold_time(batch["inputs"], steps, self.time)
        return batch


__all__ = ["EventSegDataPreprocessor"]
