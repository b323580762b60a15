"""Digit scenes with label maps for mmseg."""

from typing import Any

from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from .generated import GeneratedSet
from .scene_files import PALETTE, ensure_digit_scenes
from .scenes import CLASSES, SceneParameters


@DATASETS.register_module()
class DigitScenesSegDataset(GeneratedSet, BaseSegDataset):
    """Digit scenes as an mmseg set of background and ten digits, generated on first use.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use; shared with
            :class:`DigitScenesDataset`.
        scenes: values of :class:`SceneParameters` that replace its defaults.
        kwargs: arguments of ``mmseg.datasets.BaseSegDataset``.

    Example:
        >>> from sakd_dense.datasets import DigitScenesSegDataset
        >>> data = DigitScenesSegDataset("val", "digits", scenes=dict(counts=(2, 3, 2)))
        >>> len(data), data.metainfo["classes"][:2]
        (3, ('background', '0'))
    """

    METAINFO = {"classes": ("background", *CLASSES), "palette": [(0, 0, 0), *PALETTE]}
    generate = staticmethod(ensure_digit_scenes)

    def __init__(
        self,
        split: str = "train",
        data_root: str = "data/digits",
        scenes: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.choose(split, SceneParameters(**(scenes or {})))
        kwargs.setdefault(
            "data_prefix", dict(img_path=f"images/{split}", seg_map_path=f"labels/{split}")
        )
        super().__init__(data_root=data_root, img_suffix=".png", **kwargs)
