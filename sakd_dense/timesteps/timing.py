"""Measurement of the milliseconds per image at one T."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.runner.amp import autocast

from ..backbones.time_steps import at_time_steps


@torch.no_grad()
def ms_per_image(
    model: BaseModel, batches: Sequence[Any], time_steps: int | None = None, fp16: bool = False
) -> float:
    """Measures the wall-clock time of ``model.test_step`` on ``batches``, in ms per image.

    The time includes preprocessing, backbone, neck, head and post-processing, but neither data
    loading nor metrics. The first batch runs once more beforehand as a warm-up.

    Args:
        model: a model in eval mode.
        batches: batches of a data loader.
        time_steps: number of time steps T of the spiking backbone; None keeps the model's own.
        fp16: as in MMEngine's ``TestLoop``.
    """
    images = 0
    with at_time_steps(model, time_steps), autocast(enabled=fp16):
        model.test_step(batches[0])
        _wait()
        start = time.perf_counter()
        for batch in batches:
            images += len(model.test_step(batch))
        _wait()
    return 1000 * (time.perf_counter() - start) / max(images, 1)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
