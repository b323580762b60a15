"""Single digits for mmpretrain: scenes with one digit each, which is the class."""

import json
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS
from mmpretrain.datasets import BaseDataset

from ...runtime.errors import UserError
from .generated import GeneratedSet
from .scene_files import ensure_digit_scenes
from .scenes import CLASSES, SceneParameters

#: Parameters of a small image of one digit.
SINGLE_DIGIT = dict(size=(40, 40), counts=(4000, 500, 1000), digits=(1, 1), digit_size=(18, 36))


@DATASETS.register_module()
class DigitsDataset(GeneratedSet, BaseDataset):
    """Images of one handwritten digit over a textured background, generated on first use.

    Args:
        split: ``'train'`` (default), ``'val'`` or ``'test'``.
        data_root: folder of the set, which is generated there on first use.
        scenes: values of :class:`SceneParameters` that replace those of :data:`SINGLE_DIGIT`;
            ``digits`` must stay (1, 1).
        kwargs: arguments of ``mmpretrain.datasets.BaseDataset``.

    Example:
        >>> from sakd_dense.datasets import DigitsDataset
        >>> len(DigitsDataset("val", "digits", scenes=dict(counts=(2, 3, 2))))
        3
    """

    METAINFO = {"classes": CLASSES}
    generate = staticmethod(ensure_digit_scenes)

    def __init__(
        self,
        split: str = "train",
        data_root: str = "data/single_digits",
        scenes: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.choose(split, SceneParameters(**{**SINGLE_DIGIT, **(scenes or {})}))
        if self.parameters.digits != (1, 1):
            raise UserError(
                f"scenes={scenes!r}: a picture of digits={self.parameters.digits} has no single "
                "class; use digits=(1, 1)"
            )
        super().__init__(ann_file="", data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        root = Path(self.data_root)
        self.generate(root, self.parameters)
        content = json.loads((root / "annotations" / f"{self.split}.json").read_text())
        digits = {a["image_id"]: a["category_id"] for a in content["annotations"]}
        return [
            dict(
                img_path=str(root / "images" / self.split / image["file_name"]),
                gt_label=digits[image["id"]],
            )
            for image in content["images"]
        ]
