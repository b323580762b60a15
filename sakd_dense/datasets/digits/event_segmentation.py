"""Moving digits with label maps for mmseg."""

from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from .generated import GeneratedSet
from .moving import MovingParameters
from .recording_files import ensure_event_scenes
from .scene_files import PALETTE
from .scenes import CLASSES


@DATASETS.register_module()
class DigitEventScenesSegDataset(GeneratedSet, BaseSegDataset):
    """Moving digits as an mmseg set of background and ten digits, with one sample per time stamp.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use; shared with
            :class:`DigitEventScenesDataset`.
        recordings: values of :class:`MovingParameters` that replace its defaults.
        kwargs: arguments of ``mmseg.datasets.BaseSegDataset``.

    Example:
        >>> from sakd_dense.datasets import DigitEventScenesSegDataset
        >>> few = dict(counts=(1, 3, 1), stamps=2)  # a sample a time stamp
        >>> len(DigitEventScenesSegDataset("val", "moving", recordings=few))
        6
    """

    METAINFO = {"classes": ("background", *CLASSES), "palette": [(0, 0, 0), *PALETTE]}
    generate = staticmethod(ensure_event_scenes)

    def __init__(
        self,
        split: str = "train",
        data_root: str = "data/digit_event_scenes",
        recordings: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.choose(split, MovingParameters(**(recordings or {})))
        super().__init__(data_root=data_root, img_suffix="_td.dat", **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        self.generate(self.data_root, self.parameters)
        folder = Path(self.data_root, self.split)
        width, height = self.parameters.size
        stamped = []
        for labels in folder.glob("labels/*.png"):
            recording, t = labels.stem.split("_")
            stamped.append((recording, int(t), labels))
        return [
            dict(
                img_path=str(folder / f"{recording}{self.img_suffix}"),
                seg_map_path=str(labels),
                timestamp=t,
                height=height,
                width=width,
                label_map=self.label_map,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            for recording, t, labels in sorted(stamped)
        ]


__all__ = ["DigitEventScenesSegDataset"]
