"""Detection sets in Pascal VOC's layout, read as they are and checked while reading.

A folder holds ``JPEGImages/<id>.jpg``, ``Annotations/<id>.xml`` and ``ImageSets/Main/<split>.txt``
(an id a line). mmdet's own reader skips an object of an unknown class without a word and lets a
box without area through, which then gives NaN in box losses; here the first is an error and the
second is dropped with a warning.
"""

import logging
import os
import xml.etree.ElementTree as ET
from typing import Any

from mmdet.datasets import XMLDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ..runtime.errors import MissingFileError, UserError


@DATASETS.register_module()
class StrictVOCDataset(XMLDataset):
    """A VOC-style set whose every object is accounted for.

    Args:
        data_root: the folder that holds ``JPEGImages`` and ``Annotations``.
        ann_file: the list of image ids, e.g. ``'ImageSets/Main/train.txt'``.
        data_prefix: only for sets whose images lie in a folder below ``data_root``:
            ``dict(sub_data_root='VOC2007')``.
        kwargs: of ``mmdet.datasets.XMLDataset``.

    With ``metainfo=dict(classes=(...))`` a part of the classes can be chosen; objects of the
    class's other known classes are then left out in silence.

    Raises:
        MissingFileError: for a missing folder, list, annotation or image.
        UserError: for an object of an unknown class, a box that is not one, or an empty list.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        data_prefix: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        prefix = dict(data_prefix or {})
        prefix.setdefault("sub_data_root", "")
        self._known = set(self.METAINFO.get("classes", ()))
        super().__init__(data_root=data_root, ann_file=ann_file, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        name = type(self).__name__
        if not os.path.isdir(self.data_root):
            raise MissingFileError(
                f"{name}: there is no folder {self.data_root!r}. Put the data set (or a link to "
                "it) there, or set data_root in the config"
            )
        _need_file(self.ann_file, f"{name}: the list of image ids")
        data_list = super().load_data_list()
        if not data_list:
            raise UserError(f"{name}: {self.ann_file!r} lists no image")
        return data_list

    def parse_data_info(self, img_info: dict[str, Any]) -> dict[str, Any]:
        image = os.path.join(self.sub_data_root, img_info["file_name"])
        _need_file(image, f"{self.ann_file}: image {img_info['img_id']!r}")
        _need_file(img_info["xml_path"], f"{self.ann_file}: the boxes of {img_info['img_id']!r}")
        self._xml_path = img_info["xml_path"]  # for the messages of the method below
        try:
            return super().parse_data_info(img_info)
        except ET.ParseError as error:
            raise UserError(f"{self._xml_path}: not a readable XML file ({error})") from error

    def _parse_instance_info(
        self, raw_ann_info: ET.ElementTree, minus_one: bool = True
    ) -> list[dict[str, Any]]:
        """The objects as ``dict(bbox=[x1, y1, x2, y2], bbox_label, ignore_flag)``, in pixels."""
        root = raw_ann_info.getroot()
        known = self._known | set(self.metainfo["classes"])
        for number, obj in enumerate(root.findall("object")):
            name = (obj.findtext("name") or "").strip()
            if name not in known:
                raise UserError(
                    f"{self._xml_path}: object {number} is of class {name!r}, known are "
                    f"{sorted(known)}. Name it in metainfo=dict(classes=...) or mend the file"
                )
            x1, y1, x2, y2 = self._corners(obj, number)
            if x2 <= x1 or y2 <= y1:
                print_log(
                    f"{self._xml_path}: object {number} ({name}) has no area "
                    f"({x1:g}, {y1:g}, {x2:g}, {y2:g}): dropped",
                    logger="current",
                    level=logging.WARNING,
                )
                root.remove(obj)
        return super()._parse_instance_info(raw_ann_info, minus_one)

    def _corners(self, obj: ET.Element, number: int) -> list[float]:
        sides = ("xmin", "ymin", "xmax", "ymax")
        try:
            return [float(obj.findtext(f"bndbox/{side}", default="")) for side in sides]
        except ValueError as error:
            raise UserError(
                f"{self._xml_path}: object {number} needs a <bndbox> with the numbers {sides}"
            ) from error


@DATASETS.register_module()
class BCCDDataset(StrictVOCDataset):
    """Blood cells, 364 photographs of 640x480, split 205/87/72.

    Source: https://github.com/Shenggan/BCCD_Dataset (MIT), the folder ``BCCD`` as it is.
    """

    METAINFO = {
        "classes": ("RBC", "WBC", "Platelets"),
        "palette": [(220, 60, 60), (60, 90, 220), (240, 200, 40)],
    }


def _need_file(path: str, what: str) -> None:
    if not os.path.isfile(path):
        raise MissingFileError(f"{what} is missing: there is no file {path!r}")
