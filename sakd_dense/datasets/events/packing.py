"""The transform that packs a sample: an image of T frames becomes frames again."""

from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ...runtime.errors import UserError


@TRANSFORMS.register_module()
class PackEventInputs(BaseTransform):
    """Packs as mmdet's or mmseg's own transform does, with ``inputs`` ``[T, C, H, W]``.

    Args:
        pack: ``'PackDetInputs'`` or ``'PackSegInputs'``.
        kwargs: its arguments, such as ``meta_keys``.

    Raises:
        UserError: for a sample that :class:`~sakd_dense.datasets.LoadEvents` has not loaded.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import PackEventInputs
        >>> image = np.zeros((4, 6, 4), np.float32)  # two frames of two polarities
        >>> sample = dict(img=image, img_shape=(4, 6), time_steps=2)
        >>> pack = PackEventInputs("mmdet.PackDetInputs", meta_keys=("img_shape",))
        >>> pack(sample)["inputs"].shape
        torch.Size([2, 2, 4, 6])
    """

    def __init__(self, pack: str = "PackDetInputs", **kwargs: Any) -> None:
        self.pack = TRANSFORMS.build(dict(type=pack, **kwargs))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        steps = results.get("time_steps")
        if steps is None:
            path = results.get("img_path")
            raise UserError(f"PackEventInputs: {path} has no time axis: load it with LoadEvents")
        packed = self.pack(results)
        packed["inputs"] = packed["inputs"].unflatten(0, (steps, -1))
        return packed

    def __repr__(self) -> str:
        return f"PackEventInputs({self.pack!r})"


__all__ = ["PackEventInputs"]
