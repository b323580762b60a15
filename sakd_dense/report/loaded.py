"""Images loaded by a config's own test pipeline, to draw them and as inputs of the model."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor

from ..config.models import with_preprocessor
from ..config.types import dicts, type_name
from ..runtime.errors import UserError

_ANNOTATIONS = (
    "gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags", "gt_masks", "gt_seg_map", "gt_label",
)  # fmt: skip


@dataclass
class LoadedImage:
    """An image that a pipeline has loaded and packed.

    Attributes:
        name: name for messages, with the path or the index of the image.
        image: ``[H, W, 3]`` uint8, RGB, with the orientation and size that the loader gave it. The
            coordinates of annotations and predictions refer to this image. Another reader of the
            file may orient it differently (EXIF).
        annotations: annotations as they were loaded, before the image was resized.
        inputs: inputs of the model, ``[C, H, W]``, or event frames ``[T, C, H, W]``.
        data_sample: data sample into which the model writes its predictions.
        bins: for a recording of events, a picture like ``image`` for each time bin; ``image`` shows
            all bins together.
    """

    name: str
    image: np.ndarray
    annotations: dict[str, Any]
    inputs: Tensor
    data_sample: Any
    bins: list[np.ndarray] = field(default_factory=list)


class TestPipeline:
    """The test pipeline of a config, as a function from an image to a LoadedImage.

    Args:
        cfg: the complete config. Its default scope must be the current one.
        annotations: whether to load annotations.

    Raises:
        UserError: the config has no pipeline for tests.
    """

    __test__ = False  # for pytest

    def __init__(self, cfg: Config, annotations: bool = True) -> None:
        steps = [
            step
            for step in copy.deepcopy(_steps_of(cfg))
            if annotations or "Annotations" not in type_name(step["type"])
        ]
        self._transforms = Compose(steps).transforms
        preprocessor = with_preprocessor(cfg).get("data_preprocessor") or {}
        self._swaps = bool(preprocessor.get("bgr_to_rgb") or preprocessor.get("to_rgb"))

    def __call__(self, info: Mapping[str, Any]) -> LoadedImage:
        """Runs the pipeline.

        Args:
            info: a data set's description of an image, with ``img_path`` or ``img`` itself.

        Raises:
            UserError: the image cannot be read.
        """
        name = f"image {str(info.get('img_path') or info.get('sample_idx', ''))!r}"
        results: Any = dict(info)
        annotations = _annotations(results)
        image, bins = None, []
        if "img" in info:  # one array of a file of many: BGR only if the model swaps channels
            image = displayable(info["img"], self._swaps)
        for transform in self._transforms:
            try:
                results = transform(results)
            except UserError:
                raise
            except Exception as error:  # decoders raise any type for a file that is not an image
                if image is not None:
                    raise
                raise _unreadable(name, transform, f"{type(error).__name__}: {error}") from error
            if results is None:
                raise _unreadable(name, transform, "it returned None")
            if image is None and "img" in results:
                backend = getattr(transform, "imdecode_backend", None)
                # mmcv decodes to BGR, except for TIFF files, whose order it keeps.
                bgr = self._swaps if backend is None else backend != "tifffile"
                frames = _frames_of(results)
                image = displayable(results["img"] if frames is None else frames, bgr)
                if frames is not None:
                    top = _busy(frames)  # one scale for all bins
                    bins = [displayable(frame[None], bgr, top) for frame in frames]
            annotations = {**_annotations(results), **annotations}  # later transforms scale them
        if image is None:
            raise UserError(f"{name}: no transform of the config's test pipeline loads an image")
        packed = results["inputs"], results["data_samples"]
        return LoadedImage(name, image, annotations, *packed, bins)


def _frames_of(results: Mapping[str, Any]) -> np.ndarray | None:
    """Returns the frames ``[T, C, H, W]`` of a sample of ``LoadEvents``, otherwise None."""
    steps = results.get("time_steps")
    if steps is None:
        return None
    channels = results["img"].transpose(2, 0, 1)
    return channels.reshape(steps, -1, *channels.shape[1:])


def _annotations(results: Mapping[str, Any]) -> dict[str, Any]:
    return {key: copy.deepcopy(results[key]) for key in _ANNOTATIONS if key in results}


def displayable(image: np.ndarray, bgr: bool, top: float | None = None) -> np.ndarray:
    """Converts an image or event frames to ``[H, W, 3]`` uint8, RGB.

    Args:
        image: ``[H, W]``, ``[H, W, C]`` (only the first three channels are shown), or event frames
            ``[T, C, H, W]``. Event frames of two polarities are summed over T and shown in red for
            the first and blue for the second polarity. In other images that are not uint8, a
            largest value above 255 is scaled to 255, and values of at most 1 are multiplied by 255.
        bgr: whether three channels are in OpenCV's order.
        top: for event frames, the sum that is shown at full strength; None: the 95th percentile
            over the pixels with events.
    """
    if image.ndim == 4:
        counts = image.astype(np.float64).sum(0)
        strength = np.clip(counts / (_busy(counts) if top is None else top), 0, 1)
        first, second = strength[0], strength[-1] if len(strength) > 1 else strength[0]
        image = np.stack([1 - second, 1 - np.maximum(first, second), 1 - first], axis=-1)
        bgr = False
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[-1] < 3:
        image = np.repeat(image[..., :1], 3, axis=-1)
    image = image[..., :3]
    image = image[..., ::-1] if bgr else image
    if image.dtype != np.uint8:
        image = image.astype(np.float64)
        top = image.max(initial=0)
        image = np.clip(image * (255 / top if top > 255 else 255 if top <= 1 else 1), 0, 255)
    return np.ascontiguousarray(image, dtype=np.uint8)


def _busy(counts: np.ndarray) -> float:
    """Returns the 95th percentile over pixels with events: the few busiest must hide no others."""
    return float(np.quantile(counts[counts > 0], 0.95)) if counts.any() else 1.0


def _steps_of(cfg: Config) -> Sequence[Any]:
    for steps in (
        _pipeline_of(cfg.get("test_dataloader")),
        cfg.get("test_pipeline"),
        _pipeline_of(cfg.get("val_dataloader")),
    ):
        if steps:
            return steps
    raise UserError(
        f"config {cfg.filename or ''} has no pipeline to load an image with: set test_dataloader, "
        "or test_pipeline=[dict(type='LoadImageFromFile'), ...] alone"
    )


def _pipeline_of(dataloader: Mapping[str, Any] | None) -> Sequence[Any] | None:
    # Data sets may be wrapped: ConcatDataset, RepeatDataset.
    dataset = (dataloader or {}).get("dataset")
    return next((d["pipeline"] for d in dicts(dataset) if d.get("pipeline")), None)


def _unreadable(name: str, transform: Any, reason: str) -> UserError:
    return UserError(
        f"{name} cannot be read by the config's {type(transform).__name__} ({reason}): use an "
        "image format that it supports, or set its imdecode_backend"
    )
