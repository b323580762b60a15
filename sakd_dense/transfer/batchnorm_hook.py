"""Re-estimation of BatchNorm's statistics at the end of training, before the last checkpoint."""

from typing import Any

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

from ..neurons.batchnorm import BatchNorm
from ..runtime.arguments import at_least, typed
from .batchnorm import reestimate


@HOOKS.register_module()
class ReestimateBatchNormHook(Hook):
    """Hook that calls :func:`reestimate` on training batches after the last iteration.

    Running statistics are a decaying mean over weights that still change. With one or two images
    per batch they are also noisy. The hook replaces them by statistics of the final weights, before
    the last validation and the last checkpoint. Weights stay unchanged.

    Args:
        num_batches: number of training batches on each process. The statistics of several
            processes are averaged. Default: 10.

    Raises:
        UserError: ``num_batches`` < 1.

    Example:
        >>> from mmengine.registry import HOOKS
        >>> HOOKS.build(dict(type="ReestimateBatchNormHook", num_batches=20)).num_batches
        20
    """

    # After SAKDHook has closed its iteration, before a checkpoint is written.
    priority = "LOW"

    @typed
    def __init__(self, num_batches: int = 10) -> None:
        self.num_batches = at_least("ReestimateBatchNormHook: num_batches", num_batches)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if runner.iter + 1 == runner.max_iters:
            reestimate(runner.model, runner.train_dataloader, self.num_batches)
            _average(runner.model)


@torch.no_grad()
def _average(model: nn.Module) -> None:
    """Averages the statistics over processes, each of which uses its own batches."""
    if not is_distributed():
        return
    for module in model.modules():
        if isinstance(module, BatchNorm) and module.track_running_stats:
            all_reduce(module.running_mean, op="mean")
            all_reduce(module.running_var, op="mean")
