"""Digit scenes and moving digits with boxes for mmdet."""

from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS

from ..events.prophesee import PropheseeDataset
from .generated import GeneratedSet
from .moving import MovingParameters
from .recording_files import ensure_event_scenes
from .scene_files import PALETTE, ensure_digit_scenes
from .scenes import CLASSES, SceneParameters


@DATASETS.register_module()
class DigitScenesDataset(GeneratedSet, CocoDataset):
    """Digit scenes as an mmdet detection set, generated on first use.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use.
        scenes: values of :class:`SceneParameters` that replace its defaults.
        kwargs: arguments of ``mmdet.datasets.CocoDataset``.

    Example:
        >>> from sakd_dense.datasets import DigitScenesDataset
        >>> data = DigitScenesDataset("val", scenes=dict(counts=(2, 3, 2)), lazy_init=True)
        >>> data.ann_file, len(data.metainfo["classes"])
        ('data/digits/annotations/val.json', 10)
    """

    METAINFO = {"classes": CLASSES, "palette": PALETTE}
    generate = staticmethod(ensure_digit_scenes)

    def __init__(
        self,
        split: str = "train",
        data_root: str = "data/digits",
        scenes: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.choose(split, SceneParameters(**(scenes or {})))
        kwargs.setdefault("ann_file", f"annotations/{split}.json")
        kwargs.setdefault("data_prefix", dict(img=f"images/{split}", seg=f"labels/{split}"))
        super().__init__(data_root=data_root, **kwargs)


@DATASETS.register_module()
class DigitEventScenesDataset(GeneratedSet, PropheseeDataset):
    """Moving digits with boxes as an mmdet set, read from DAT files and generated on first use.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use.
        recordings: values of :class:`MovingParameters` that replace its defaults.
        kwargs: arguments of :class:`~sakd_dense.datasets.PropheseeDataset`.

    Example:
        >>> from sakd_dense.datasets import DigitEventScenesDataset
        >>> few = dict(counts=(1, 3, 1), stamps=2)  # a sample a time stamp
        >>> len(DigitEventScenesDataset("val", "moving", recordings=few))
        6
    """

    METAINFO = {"classes": CLASSES, "palette": PALETTE}
    generate = staticmethod(ensure_event_scenes)

    def __init__(
        self,
        split: str = "train",
        data_root: str = "data/digit_event_scenes",
        recordings: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.choose(split, MovingParameters(**(recordings or {})))
        width, height = self.parameters.size
        kwargs.setdefault("size", (height, width))
        super().__init__(data_root=data_root, split=split, **kwargs)


__all__ = ["DigitEventScenesDataset", "DigitScenesDataset"]
