"""Event frames for mmpretrain's classifiers, from a file to the time axis of a spiking backbone.

A file contains counts ``[T, C, H, W]``, as SpikingJelly writes them (``frames`` in an .npz). With
:class:`LoadEventFrames`, mmpretrain's ``CustomDataset`` reads the folders that SpikingJelly's
neuromorphic sets make (one folder per class).
"""

import zipfile
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import MODELS, TRANSFORMS
from mmpretrain.models import ClsDataPreprocessor

from ..runtime.errors import UserError
from .time_axis import check_time, fold_time, unfold_time


@TRANSFORMS.register_module()
class LoadEventFrames(BaseTransform):
    """Transform that loads event frames ``[T, C, H, W]`` float32 as ``img``.

    The transform reads them from ``img_path``, an .npz with ``frames`` or an .npy.

    Raises:
        FileNotFoundError: if the file does not exist.
        UserError: if the file contains no numeric frames of four axes.

    Example:
        >>> import numpy as np
        >>> from sakd_dense.datasets import LoadEventFrames
        >>> np.savez("stream.npz", frames=np.zeros((4, 2, 32, 32), np.uint8))
        >>> LoadEventFrames()(dict(img_path="stream.npz"))["img"].shape
        (4, 2, 32, 32)
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results["img_path"]
        try:
            loaded = np.load(path, allow_pickle=False)
            frames = loaded if isinstance(loaded, np.ndarray) else loaded["frames"]
        except FileNotFoundError:
            raise
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} contains no event frames: use an .npz with 'frames' (as SpikingJelly "
                f"writes them) or an .npy, of shape [T, C, H, W] ({error})"
            ) from error
        if frames.ndim != 4 or 0 in frames.shape:
            raise UserError(f"{path}: the frames have the shape {frames.shape}, not [T, C, H, W]")
        if frames.dtype.kind not in "biuf":
            raise UserError(
                f"{path}: the frames have the type {frames.dtype}, which is not numeric"
            )
        results["img"] = frames.astype(np.float32)
        results["img_shape"] = results["ori_shape"] = frames.shape[-2:]
        return results


@MODELS.register_module()
class EventDataPreprocessor(ClsDataPreprocessor):
    """Preprocessor that batches event frames ``[T, C, H, W]`` for a spiking backbone or an ANN.

    Args:
        time: ``'first'`` (default): ``[T, B, C, H, W]``, which a spiking backbone reads as its time
            axis; ``'mean'``: ``[B, C, H, W]``, the mean over T; ``'channels'``: ``[B, T*C, H, W]``.
            The last two are for the ANN of the same architecture.
        kwargs: arguments of mmpretrain's ``ClsDataPreprocessor`` except those of colours. Mixup and
            cutmix mix complete streams: every frame of a pair in the same way.

    Raises:
        UserError: if ``time`` is unknown, if an argument of colours is set, or if the streams
            differ in shape.

    Example:
        >>> import torch
        >>> from sakd_dense.datasets import EventDataPreprocessor
        >>> streams = [torch.zeros(4, 2, 32, 32), torch.zeros(4, 2, 32, 32)]
        >>> EventDataPreprocessor(time="first")(dict(inputs=streams))["inputs"].shape
        torch.Size([4, 2, 2, 32, 32])
    """

    def __init__(self, time: str = "first", **kwargs: Any) -> None:
        check_time(time)
        colours = {k: kwargs[k] for k in ("mean", "std", "to_rgb") if kwargs.get(k)}
        if colours:
            raise UserError(
                f"EventDataPreprocessor: {colours}: frames are counts and have no colours; leave "
                "it out"
            )
        super().__init__(**kwargs)
        self.time = time

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        # With T in the channels, upstream's padding, mixup and cutmix work as on images.
        images, steps = fold_time(data["inputs"], type(self).__name__, one_size=True)
        batch = super().forward({**data, "inputs": torch.stack(images)}, training)
        batch["inputs"] = unfold_time(batch["inputs"], steps, self.time)
        return batch
