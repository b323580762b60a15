"""Detection sets in Pascal VOC's layout, checked while they are read.

A folder contains ``JPEGImages/<id>.jpg``, ``Annotations/<id>.xml`` and
``ImageSets/Main/<split>.txt`` (one id per line). mmdet's reader silently skips objects of unknown
classes and keeps boxes without area, which give NaN in box losses. Here an unknown class is an
error, and a box without area is dropped with a warning. Blanks and line breaks around values and
empty lines of lists are ignored.
"""

import logging
import os
import xml.etree.ElementTree as ET
from typing import Any

import mmcv
from mmdet.datasets import XMLDataset
from mmengine.fileio import list_from_file
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ..runtime.errors import MissingFileError, UserError


@DATASETS.register_module()
class StrictVOCDataset(XMLDataset):
    """VOC-style detection set that checks every object.

    Args:
        data_root: folder that contains ``JPEGImages`` and ``Annotations``.
        ann_file: list of image ids, such as ``'ImageSets/Main/train.txt'``.
        data_prefix: only for sets whose images are in a folder below ``data_root``:
            ``dict(sub_data_root='VOC2007')``.
        kwargs: arguments of ``mmdet.datasets.XMLDataset``.

    ``metainfo=dict(classes=(...))`` selects some of the classes. Objects of the other classes that
    the data set class defines are then skipped silently.

    Raises:
        MissingFileError: the folder, the list, an annotation or an image is missing.
        UserError: an object has an unknown class, an invalid box or an invalid ``difficult``,
            an annotation is not readable XML, or the list is empty.

    Example:
        >>> from sakd_dense.datasets import StrictVOCDataset
        >>> classes = dict(classes=("cat", "dog"))
        >>> ids = "ImageSets/Main/train.txt"
        >>> StrictVOCDataset("data/pets", ids, metainfo=classes, lazy_init=True).ann_file
        'data/pets/ImageSets/Main/train.txt'
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
        self.cat2label = {name: i for i, name in enumerate(self.metainfo["classes"])}
        lines = list_from_file(self.ann_file, encoding="utf-8-sig", backend_args=self.backend_args)
        ids = [line.strip() for line in lines if line.strip()]
        if not ids:
            raise UserError(f"{name}: {self.ann_file!r} lists no image")
        annotations = os.path.join(self.sub_data_root, self.ann_subdir)
        return [
            self.parse_data_info(
                dict(
                    img_id=img_id,
                    file_name=os.path.join(self.img_subdir, f"{img_id}.jpg"),
                    xml_path=os.path.join(annotations, f"{img_id}.xml"),
                )
            )
            for img_id in ids
        ]

    @classmethod
    def _load_metainfo(cls, metainfo: Any = None) -> dict[str, Any]:
        loaded = super()._load_metainfo(metainfo)
        if isinstance(loaded.get("classes"), list | tuple):  # perhaps the lines of a file
            loaded["classes"] = tuple(n.strip() for n in loaded["classes"] if n.strip())
        return loaded

    def parse_data_info(self, img_info: dict[str, Any]) -> dict[str, Any]:
        image = os.path.join(self.sub_data_root, img_info["file_name"])
        self._xml_path = img_info["xml_path"]  # for the messages of the methods below
        _need_file(image, f"{self.ann_file}: image {img_info['img_id']!r}")
        _need_file(self._xml_path, f"{self.ann_file}: the boxes of {img_info['img_id']!r}")
        try:
            tree = ET.parse(self._xml_path)
        except ET.ParseError as error:
            raise UserError(f"{self._xml_path}: not a readable XML file ({error})") from error
        width, height = _size(tree.getroot(), image)
        return dict(
            img_path=image,
            img_id=img_info["img_id"],
            xml_path=self._xml_path,
            height=height,
            width=width,
            instances=self._parse_instance_info(tree),
        )

    def _parse_instance_info(
        self, raw_ann_info: "ET.ElementTree[ET.Element]", minus_one: bool = True
    ) -> list[dict[str, Any]]:
        """Returns objects as ``dict(bbox=[x1, y1, x2, y2], bbox_label, ignore_flag)`` in pixels."""
        root = raw_ann_info.getroot()
        known = self._known | set(self.metainfo["classes"])
        for number, obj in enumerate(root.findall("object")):
            name = (obj.findtext("name") or "").strip()
            if name not in known:
                raise UserError(
                    f"{self._xml_path}: object {number} has the class {name!r}, but the known "
                    f"classes are {sorted(known)}. Add it to metainfo=dict(classes=...), or "
                    "correct the file"
                )
            self._clean(obj, number, name)
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

    def _clean(self, obj: ET.Element, number: int, name: str) -> None:
        """Cleans and checks the texts that mmdet's reader compares and converts."""
        obj.find("name").text = name  # type: ignore[union-attr]
        difficult = obj.find("difficult")
        if difficult is not None:
            text = (difficult.text or "").strip() or "0"
            if text not in ("0", "1"):
                raise UserError(
                    f"{self._xml_path}: object {number} ({name}) has <difficult>{text}: write 0 or "
                    "1, or leave it out"
                )
            difficult.text = text

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
    """BCCD: blood cells in 364 photographs of 640x480 pixels, split 205/87/72.

    Source: https://github.com/Shenggan/BCCD_Dataset (MIT), its folder ``BCCD`` unchanged.

    Example:
        >>> from sakd_dense.datasets import BCCDDataset
        >>> data = BCCDDataset("data/bccd", "ImageSets/Main/train.txt", lazy_init=True)
        >>> data.metainfo["classes"]
        ('RBC', 'WBC', 'Platelets')
    """

    METAINFO = {
        "classes": ("RBC", "WBC", "Platelets"),
        "palette": [(220, 60, 60), (60, 90, 220), (240, 200, 40)],
    }


def _size(root: ET.Element, image: str) -> tuple[int, int]:
    """Returns width and height from the file, or from the image if the file gives none."""
    try:
        width, height = (int(root.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        height, width = mmcv.imread(image, backend="cv2").shape[:2]
    return width, height


def _need_file(path: str, what: str) -> None:
    if not os.path.isfile(path):
        raise MissingFileError(f"{what} is missing: there is no file {path!r}")
