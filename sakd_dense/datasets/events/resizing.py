"""Resizing that preserves counts: events move to the pixel that covers their position."""

from typing import Any

import numpy as np
from mmdet.datasets.transforms import Resize
from mmengine.registry import TRANSFORMS

from ...runtime.errors import UserError


@TRANSFORMS.register_module()
class ResizeEvents(Resize):
    """Transform that shrinks frames as a coarser sensor would record them: counts add up.

    Boxes, masks and label maps are resized as by mmdet's ``Resize``, which has the same arguments.
    mmdet's transform resizes frames by interpolation; the results are not integers and count as
    multiplications (``sakd_dense.energy``).

    Raises:
        UserError: the scale enlarges the frames.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import ResizeEvents
        >>> counts = np.ones((4, 6, 2), np.float32)
        >>> smaller = ResizeEvents(scale=(3, 2))(dict(img=counts))["img"]
        >>> smaller.shape, smaller.sum().item()
        ((2, 3, 2), 48.0)
    """

    def _resize_img(self, results: dict[str, Any]) -> None:
        image = results.get("img")
        if image is None:
            return
        height, width = image.shape[:2]
        new_width, new_height = results["scale"]
        if self.keep_ratio:
            factor = min(
                max(new_width, new_height) / max(height, width),
                min(new_width, new_height) / min(height, width),
            )
            new_height, new_width = int(height * factor + 0.5), int(width * factor + 0.5)
        if not (0 < new_height <= height and 0 < new_width <= width):
            raise UserError(
                f"ResizeEvents: cannot enlarge {width}x{height} to {new_width}x{new_height}, "
                "because it only merges events; use mmdet's Resize to enlarge frames"
            )
        image = np.add.reduceat(image, _starts(height, new_height), axis=0)
        results["img"] = np.add.reduceat(image, _starts(width, new_width), axis=1)
        results["img_shape"] = (new_height, new_width)
        results["scale_factor"] = (new_width / width, new_height / height)
        results["keep_ratio"] = self.keep_ratio


def _starts(size: int, new: int) -> np.ndarray:
    """Returns the first old pixel of each new one."""
    return -(-np.arange(new) * size // new)


__all__ = ["ResizeEvents"]
