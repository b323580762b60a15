"""Batches of event frames, built with upstream's preprocessors of images."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from ...runtime.errors import UserError
from ..time_axis import check_time, fold_time, unfold_time


class EventBatches(BaseDataPreprocessor):
    """Mixin that passes frames ``[T, C, H, W]`` as channels to an upstream preprocessor.

    The arguments are those of :class:`~sakd_dense.datasets.EventDetDataPreprocessor`.

    A batch is a dict of ``inputs``, whose axes depend on ``time``, and ``data_samples``.
    """

    def __init__(
        self,
        time: str = "first",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_colours(type(self).__name__, kwargs)
        check_scale(mean, std)
        super().__init__(**kwargs)
        self.time = check_time(time)
        keep_scale(self, mean, std)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        images, steps = fold_time(data["inputs"], type(self).__name__)
        images = [scaled(self, image, steps) for image in self.cast_data(images)]
        batch = super().forward({**data, "inputs": images}, training)
        batch["inputs"] = unfold_time(batch["inputs"], steps, self.time)
        return batch


def refuse_colours(name: str, kwargs: dict[str, Any]) -> None:
    """Raises a UserError if an argument swaps colours."""
    colours = {k: kwargs[k] for k in ("bgr_to_rgb", "rgb_to_bgr", "to_rgb") if kwargs.get(k)}
    if colours:
        raise UserError(f"{name}: {colours}: frames are counts and have no colours; leave it out")


def check_scale(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Raises a UserError if only one of the two is given, or if their lengths differ."""
    if (mean is None) != (std is None) or (mean and std and len(mean) != len(std)):
        raise UserError(f"mean={mean} and std={std}: set both, with the same length, or neither")


def keep_scale(module: Any, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Registers ``mean`` and ``std`` of the polarities as buffers ``[C, 1, 1]`` of ``module``."""
    for name, values in (("mean", mean), ("std", std)):
        tensor = None if values is None else torch.tensor(values, dtype=torch.float).view(-1, 1, 1)
        module.register_buffer(name, tensor, persistent=False)


def scaled(module: Any, image: torch.Tensor, steps: int) -> torch.Tensor:
    """Returns frames ``[T*C, H, W]`` in float32, normalised by polarity if ``mean`` is set."""
    image = image.float()
    if module.mean is None:
        return image
    frames = image.unflatten(0, (steps, -1))
    return ((frames - module.mean) / module.std).flatten(0, 1)


__all__ = ["EventBatches"]
