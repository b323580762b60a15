"""The CamVid data set for mmseg."""

from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from ..runtime.errors import MissingFileError, UserError

SPLITS = ("train", "val", "test")


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid (Brostow et al., 2008): road scenes, 11 classes; index 11 (void) is ignored.

    The folder contains ``img_dir/<split>/*.jpg`` and ``ann_dir/<split>/*.png`` (class indices).

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: the folder of the set.
        kwargs: arguments of ``mmseg.datasets.BaseSegDataset``.

    Raises:
        MissingFileError: the folder, an image or the label map of an image is missing.
        UserError: ``split`` is unknown or there are no images.

    Example:
        >>> from sakd_dense.datasets import CamVidDataset
        >>> data = CamVidDataset(split="val", lazy_init=True)
        >>> len(data.metainfo["classes"]), data.ignore_index
        (11, 11)
    """

    METAINFO = {
        "classes": (
            "Sky", "Building", "Pole", "Road", "Pavement", "Tree",
            "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
        ),
        "palette": [
            (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
            (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0),
            (0, 128, 192),
        ],
    }  # fmt: skip

    def __init__(self, split: str = "train", data_root: str = "data/camvid", **kwargs: Any) -> None:
        if split not in SPLITS:
            raise UserError(f"split={split!r}: must be one of {SPLITS}")
        kwargs.setdefault(
            "data_prefix", dict(img_path=f"img_dir/{split}", seg_map_path=f"ann_dir/{split}")
        )
        kwargs.setdefault("ignore_index", 11)
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        images = Path(self.data_prefix["img_path"])
        if not images.is_dir():
            raise MissingFileError(
                f"{type(self).__name__}: there is no folder {str(images)!r}. Put the data set (or "
                "a link to it) there, or set data_root in the config"
            )
        samples = super().load_data_list()
        # Upstream reads an empty line of ann_file as an image of this name.
        samples = [s for s in samples if Path(s["img_path"]).name != self.img_suffix]
        if not samples:
            raise UserError(
                f"{type(self).__name__}: {str(images)!r} contains no {self.img_suffix} image"
                if not self.ann_file
                else f"{type(self).__name__}: {self.ann_file!r} lists no image"
            )
        self._need_files([s["img_path"] for s in samples], "images are missing")
        if not self.test_mode or self.data_prefix.get("seg_map_path"):
            self._need_files([s["seg_map_path"] for s in samples], "images have no label map")
        return samples

    def _need_files(self, paths: list[str], what: str) -> None:
        missing = [path for path in paths if not Path(path).is_file()]
        if missing:
            raise MissingFileError(
                f"{type(self).__name__}: {len(missing)} {what}; the first is {missing[0]!r}"
            )
