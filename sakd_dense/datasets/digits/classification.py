"""Single digits for mmpretrain: scenes with one digit each, which is the class."""

import json
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS
from mmpretrain.datasets import BaseDataset

from ...runtime.errors import UserError
from .detection import ensure_digit_scenes
from .scenes import CLASSES, SPLITS, SceneParameters

#: Parameters of a small image of one digit.
ONE = dict(size=(40, 40), counts=(4000, 500, 1000), digits=(1, 1), digit_size=(18, 36))


@DATASETS.register_module()
class DigitsDataset(BaseDataset):
    """Images of one handwritten digit over a textured background, generated on first use.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use.
        scenes: values of :class:`SceneParameters` that replace those of :data:`ONE`; ``digits``
            must stay (1, 1).
        kwargs: arguments of ``mmpretrain.datasets.BaseDataset``.

    Example:
        >>> from sakd_dense.datasets import DigitsDataset
        >>> len(DigitsDataset("val", "digits", scenes=dict(counts=(2, 3, 2))))
        3
    """

    METAINFO = {"classes": CLASSES}

    def __init__(
        self,
        split: str = "train",
        data_root: str = "data/single_digits",
        scenes: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise UserError(f"split={split!r}: must be one of {SPLITS}")
        self.parameters = SceneParameters(**{**ONE, **(scenes or {})})
        if self.parameters.digits != (1, 1):
            raise UserError(
                f"scenes={scenes!r}: a picture of digits={self.parameters.digits} has no single "
                "class; use digits=(1, 1)"
            )
        self.split = split
        super().__init__(ann_file="", data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        root = Path(self.data_root)
        ensure_digit_scenes(root, self.parameters)
        content = json.loads((root / "annotations" / f"{self.split}.json").read_text())
        digits = {a["image_id"]: a["category_id"] for a in content["annotations"]}
        return [
            dict(
                img_path=str(root / "images" / self.split / image["file_name"]),
                gt_label=digits[image["id"]],
            )
            for image in content["images"]
        ]
