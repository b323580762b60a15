"""Milliseconds an image, of one T by itself."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.runner.amp import autocast
from torch import nn

from .steps import spiking_backbones


@torch.no_grad()
def ms_per_image(
    model: nn.Module, batches: Sequence[Any], time_steps: int | None = None, fp16: bool = False
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


@contextmanager
def at_time_steps(model: nn.Module, t: int | None) -> Iterator[None]:
    """The spiking backbones of ``model`` run ``t`` steps inside the block (None: what they do)."""
    before = [] if t is None else [(b, b.time_steps) for b in spiking_backbones(model).values()]
    try:
        for backbone, _ in before:
            backbone.time_steps = t
        yield
    finally:
        for backbone, steps in before:
            backbone.time_steps = steps


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
