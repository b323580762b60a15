"""Milliseconds an image, of one T by itself."""

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
    """Wall clock of ``model.test_step`` on ``batches``, per image.

    Preprocessing, backbone, neck, head and post-processing are in it; loading data and metrics
    are not. One batch is run first and not counted.

    Args:
        model: in eval mode.
        batches: as a dataloader gives them.
        time_steps: T to set on the spiking backbone; None leaves the model as it is.
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
