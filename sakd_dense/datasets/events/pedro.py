"""PEDRo as an mmdet set: people recorded by an event camera on a robot.

Each sample is a file of events and a file of boxes:

    data/pedro/numpy/train/frame0013230.npy     events [N, 4] = t, x, y, p of 40 ms
               xml/train/frame0013230.xml       boxes at their end, Pascal VOC
"""

from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from ...runtime.errors import MissingFileError, UserError
from ..voc import StrictVOCDataset

MISSING = ("error", "skip")


@DATASETS.register_module()
class PEDRoDataset(StrictVOCDataset):
    """PEDRo (Boretti et al., CVPR Workshops 2023): 346x260 pixels, one class.

    Source: https://github.com/SSIGPRO/PEDRo-Event-Based-Dataset, its folders unchanged.

    Args:
        data_root: folder that contains ``numpy`` and ``xml``.
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        missing: whether boxes without events raise an error (``'error'``, default) or are skipped
            (``'skip'``).
        kwargs: arguments of :class:`~sakd_dense.datasets.StrictVOCDataset`.

    Raises:
        MissingFileError: a folder is missing, or events with ``missing='error'``.
        UserError: ``missing`` is unknown, the folder has no boxes with events, and as
            ``StrictVOCDataset``.

    Example:
        >>> from sakd_dense.datasets import PEDRoDataset
        >>> PEDRoDataset("data/pedro", split="test", lazy_init=True).metainfo["classes"]
        ('person',)
    """

    METAINFO = {"classes": ("person",), "palette": [(20, 140, 60)]}

    def __init__(
        self, data_root: str, split: str = "train", missing: str = "error", **kwargs: Any
    ) -> None:
        if missing not in MISSING:
            raise UserError(f"missing={missing!r}: must be one of {MISSING}")
        self.split, self.missing = split, missing
        super().__init__(data_root=data_root, ann_file="", **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        folder = Path(self.data_root, "xml", self.split)
        if not folder.is_dir():
            raise MissingFileError(
                f"PEDRoDataset: there is no folder {str(folder)!r}. Put the data set (or a link to "
                "it) there, or set data_root and split in the config"
            )
        self.cat2label = {name: i for i, name in enumerate(self.metainfo["classes"])}
        found, lacking = [], []
        for xml in sorted(folder.glob("*.xml")):
            events = Path("numpy", self.split, f"{xml.stem}.npy")
            if Path(self.data_root, events).is_file():
                info = dict(img_id=xml.stem, file_name=str(events), xml_path=str(xml))
                found.append(self.parse_data_info(info))
            else:
                lacking.append(xml)
        if lacking and self.missing == "error":
            raise MissingFileError(
                f"PEDRoDataset: {len(lacking)} of the boxes in {str(folder)!r} have no events; the "
                f"first file is {lacking[0].name}. Download the events, or skip these files "
                "(missing='skip')"
            )
        if not found:
            raise UserError(f"PEDRoDataset: {str(folder)!r} holds no boxes with events")
        return found


__all__ = ["PEDRoDataset"]
