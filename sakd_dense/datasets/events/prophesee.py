"""Prophesee's detection sets as mmdet sets, with one sample per time stamp that has boxes.

Each split is a folder with ``<name>_td.dat`` beside ``<name>_bbox.npy``, as Prophesee distributes
them:

    data/gen1/train/17-03-30_12-53-58_1037500000_1097500000_td.dat
                    17-03-30_12-53-58_1037500000_1097500000_bbox.npy
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ...runtime.errors import MissingFileError, UserError
from .boxes import corners, read_boxes
from .rules import ALL, BoxRules

_BOXES = "_bbox.npy"


@DATASETS.register_module()
class PropheseeDataset(BaseDetDataset):
    """Event recordings with boxes in Prophesee's layout.

    Boxes are clipped at the border of the sensor. Boxes without area are dropped, with a warning
    that counts them. Training samples that are left without boxes are dropped as well.

    Args:
        data_root: folder that contains a folder for each split.
        split: the folder to read, such as ``'train'`` (default).
        size: height and width of the sensor in pixels. None (default): those of the class.
        rules: rules that exclude boxes: a dict of the attributes of
            :class:`~sakd_dense.datasets.events.rules.BoxRules`, or the name of known ones
            (``'gen1'``). They are for training, where boxes that are not evaluated would mislead.
            For a test set, give the rules to the metric, which applies them to predictions, too.
            None (default) excludes no box.
        event_suffix: suffix of a recording's name that replaces ``_bbox.npy``; ``'.raw'`` reads
            RAW files.
        kwargs: arguments of ``mmdet.datasets.BaseDetDataset``. ``metainfo=dict(classes=...)``
            selects some of the classes; boxes of the others are skipped silently.

    Raises:
        MissingFileError: the folder or a recording is missing.
        UserError: the rules are unknown, the folder has no box files, a file is not one of
            boxes, or a box is NaN or infinite or has an unknown class.

    Example:
        >>> from mmengine.registry import DATASETS
        >>> data = dict(type="PropheseeDataset", data_root="data/mine", size=(480, 640))
        >>> data.update(metainfo=dict(classes=("car",)), lazy_init=True)
        >>> DATASETS.build(data).size
        (480, 640)
    """

    METAINFO: dict[str, Any] = {}
    size: tuple[int, int] = (240, 304)

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        size: tuple[int, int] | None = None,
        rules: str | dict[str, Any] | None = None,
        event_suffix: str = "_td.dat",
        **kwargs: Any,
    ) -> None:
        self.split = split
        self.size = (int(size[0]), int(size[1])) if size else self.size
        self.rules = BoxRules.of(rules)
        self.event_suffix = event_suffix
        self._known = tuple(self.METAINFO.get("classes", ()))
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        folder = Path(self.data_root, self.split)
        name = type(self).__name__
        if not folder.is_dir():
            raise MissingFileError(
                f"{name}: there is no folder {str(folder)!r}. Put the data set (or a link to it) "
                "there, or set data_root and split in the config"
            )
        files = sorted(folder.glob(f"*{_BOXES}"))
        if not files:
            raise UserError(f"{name}: {str(folder)!r} contains no *{_BOXES}")
        self._without_area = 0
        samples = [sample for file in files for sample in self._samples(file)]
        if self._without_area:
            print_log(
                f"{name}: {self._without_area} boxes of {str(folder)!r} have no area within the "
                "sensor: dropped",
                logger="current",
                level=logging.WARNING,
            )
        if not self.test_mode:
            samples = [s for s in samples if s["instances"]]
        # COCO's evaluation identifies images by number.
        return [{**sample, "img_id": i} for i, sample in enumerate(samples)]

    def _samples(self, file: Path) -> list[dict[str, Any]]:
        events = file.with_name(file.name.removesuffix(_BOXES) + self.event_suffix)
        if not events.is_file():
            raise MissingFileError(f"{file}: the recording of these boxes, {events}, is missing")
        height, width = self.size
        rules = self.rules or ALL
        return [
            dict(
                img_path=str(events),
                timestamp=t,
                height=height,
                width=width,
                instances=self._instances(boxes, f"{file} at t = {t} us"),
            )
            for t, boxes in read_boxes(file).items()
            if rules.takes_time(t)
        ]

    def _instances(self, boxes: np.ndarray, where: str) -> list[dict[str, Any]]:
        """Returns boxes as ``dict(bbox=[x1, y1, x2, y2], bbox_label, ignore_flag)`` in pixels."""
        chosen = tuple(self.metainfo["classes"])
        known = self._known or chosen
        found = []
        finite = np.isfinite(np.stack([boxes[n].astype(np.float64) for n in "xywh"])).all(0)
        if not finite.all():
            raise UserError(
                f"{where}: a box has an x, y, w or h that is not a number; correct the file"
            )
        takes = (self.rules or ALL).takes_boxes(boxes["w"], boxes["h"])
        for box, label, taken in zip(
            corners(boxes, self.size), boxes["class_id"], takes, strict=True
        ):
            if label >= len(known):
                raise UserError(
                    f"{where}: a box has class {label}, but the known classes are 0 to "
                    f"{len(known) - 1} ({known}); correct the file, or use the data set that has "
                    "this class"
                )
            if known[label] not in chosen or not taken:
                continue
            if box[2] <= box[0] or box[3] <= box[1]:
                self._without_area += 1
                continue
            found.append(
                dict(bbox=box.tolist(), bbox_label=chosen.index(known[label]), ignore_flag=0)
            )
        return found


@DATASETS.register_module()
class Gen1Dataset(PropheseeDataset):
    """Prophesee's GEN1 Automotive Detection Dataset: 304x240 pixels, cars and pedestrians.

    de Tournemire et al., "A Large Scale Event-based Detection Dataset for Automotive",
    arXiv:2001.08499: 39 hours in recordings of 60 s, boxes at 1, 2 or 4 Hz.

    Example:
        >>> from mmengine.registry import DATASETS
        >>> data = dict(type="Gen1Dataset", data_root="data/gen1", rules="gen1", lazy_init=True)
        >>> DATASETS.build(data).metainfo["classes"]
        ('car', 'pedestrian')
    """

    METAINFO = {
        "classes": ("car", "pedestrian"),
        "palette": [(230, 120, 20), (20, 140, 60)],
    }


@DATASETS.register_module()
class OneMpxDataset(PropheseeDataset):
    """Prophesee's 1 Megapixel Automotive Detection Dataset: 1280x720 pixels, seven classes.

    Perot et al., "Learning to Detect Objects with a 1 Megapixel Event Camera", NeurIPS 2020. The
    paper trains on the first three classes:
    ``metainfo=dict(classes=('pedestrian', 'two wheeler', 'car'))``.

    Example:
        >>> from sakd_dense.datasets import OneMpxDataset
        >>> OneMpxDataset("data/1mpx", metainfo=dict(classes=("car",)), lazy_init=True).size
        (720, 1280)
    """

    METAINFO = {
        "classes": (
            "pedestrian", "two wheeler", "car", "truck", "bus", "traffic sign", "traffic light",
        ),
        "palette": [
            (20, 140, 60), (150, 60, 200), (230, 120, 20), (200, 30, 60), (30, 110, 220),
            (220, 190, 0), (0, 170, 190),
        ],
    }  # fmt: skip
    size = (720, 1280)


__all__ = ["Gen1Dataset", "OneMpxDataset", "PropheseeDataset"]
