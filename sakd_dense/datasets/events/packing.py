"""Transform that packs a sample and turns its image of T frames into frames again."""

from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ...runtime.errors import UserError


@TRANSFORMS.register_module()
class PackEventInputs(BaseTransform):
    """Transform that packs a sample as mmdet or mmseg does, with ``inputs`` ``[T, C, H, W]``.

    Args:
        pack: type of the upstream transform, ``'PackDetInputs'`` (default) or ``'PackSegInputs'``.
        kwargs: arguments of that transform, such as ``meta_keys``.

    Raises:
        UserError: :class:`~sakd_dense.datasets.LoadEvents` has not loaded the sample.

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
