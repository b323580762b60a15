"""Event frames that were written to files, ``[T, C, H, W]`` as SpikingJelly writes them."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ...runtime.errors import UserError
from .arrays import load_array


@TRANSFORMS.register_module()
class LoadEventFrames(BaseTransform):
    """Transform that loads event frames ``[T, C, H, W]`` float32 as ``img``, for classifiers.

    The transform reads them from ``img_path``, an .npz with ``frames`` or an .npy. mmpretrain's
    ``CustomDataset`` lists the folders of SpikingJelly's neuromorphic sets (one folder per class).

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file contains no numeric frames of four axes.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import LoadEventFrames
        >>> np.savez("stream.npz", frames=np.zeros((4, 2, 32, 32), np.uint8))
        >>> LoadEventFrames()(dict(img_path="stream.npz"))["img"].shape
        (4, 2, 32, 32)
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results["img_path"]
        frames = frames_of(path, load_array(path))
        if frames is None:
            raise UserError(
                f"{path} contains no event frames: use an .npz with 'frames' (as SpikingJelly "
                "writes them) or an .npy, of shape [T, C, H, W]"
            )
        results["img"] = frames
        results["img_shape"] = results["ori_shape"] = frames.shape[-2:]
        return results


def frames_of(path: str, loaded: Any) -> np.ndarray | None:
    """Returns the frames ``[T, C, H, W]`` float32 of a loaded file; None if it holds events.

    Args:
        path: the file, for messages.
        loaded: result of :func:`.arrays.load_array`.

    Raises:
        UserError: the frames have other axes, or are not numeric.
    """
    frames = loaded if isinstance(loaded, np.ndarray) else loaded.get("frames")
    if frames is None:
        return None
    if frames.ndim != 4 or 0 in frames.shape:
        raise UserError(f"{path}: the frames have the shape {frames.shape}, not [T, C, H, W]")
    if frames.dtype.kind not in "biuf":
        raise UserError(f"{path}: the frames have the type {frames.dtype}, which is not numeric")
    return frames.astype(np.float32)


__all__ = ["LoadEventFrames", "frames_of"]
