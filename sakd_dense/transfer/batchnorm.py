"""BatchNorm statistics of a spiking model, measured instead of inherited from the ANN.

An ANN's running statistics do not fit spikes. If BatchNorm is not trained (``norm_eval=True``),
forward passes over some hundred images provide statistics that do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..neurons.batchnorm import BatchNorm
from ..runtime.errors import UserError
from ..runtime.patching import temporarily
from ..runtime.processes import unwrapped


def reestimate(model: nn.Module, loader: Iterable[Any], num_batches: int) -> int:
    """Replaces the running statistics of every BatchNorm by the mean over ``num_batches`` batches.

    BatchNorm runs in train mode with ``momentum=None`` (a cumulative average), all other modules in
    eval mode. No gradients are computed and no weight changes.

    Args:
        model: an OpenMMLab model, called as in training (``data_preprocessor``, then
            ``mode='loss'``), or any module that accepts the loader's batches.
        loader: iterable of batches, such as a train dataloader.
        num_batches: largest number of batches to use.

    Returns:
        The number of batches used; 0 if the model has no BatchNorm.

    Raises:
        UserError: ``num_batches`` < 1, or the loader is empty. After this and any other error the
            statistics are as before.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet
        >>> from sakd_dense.transfer import reestimate
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8)
        >>> reestimate(backbone, [torch.rand(2, 3, 64, 64)], num_batches=1)
        1
    """
    if num_batches < 1:
        raise UserError(f"num_batches={num_batches}: must be at least 1")
    model = unwrapped(model)
    norms = [m for m in model.modules() if isinstance(m, BatchNorm) and m.track_running_stats]
    if not norms:
        print_log("no BatchNorm with running statistics: nothing to re-estimate", "current")
        return 0
    before = [{k: v.clone() for k, v in m.named_buffers()} for m in norms]
    seen = 0
    evaluated = temporarily(model.modules(), training=False)
    averaging = temporarily(norms, training=True, momentum=None)
    try:
        for norm in norms:
            norm.reset_running_stats()
        with evaluated, averaging, torch.no_grad():
            for batch in islice(loader, num_batches):
                feed(model, batch)
                seen += 1
        if seen == 0:
            raise UserError("the loader is empty: no batch to re-estimate BatchNorm on")
    except BaseException:
        for norm, buffers in zip(norms, before, strict=True):
            for name, value in buffers.items():
                norm.get_buffer(name).copy_(value)
        raise
    untouched = sum(int(n.num_batches_tracked) == 0 for n in norms)
    print_log(
        f"re-estimated {len(norms) - untouched} BatchNorm layers on {seen} batches"
        + (f"; {untouched} were not run and are reset" if untouched else ""),
        logger="current",
        level=logging.INFO if not untouched else logging.WARNING,
    )
    return seen


def feed(model: nn.Module, batch: Any) -> None:
    """Runs ``model`` on a batch of a train dataloader, as in training."""
    preprocess = getattr(model, "data_preprocessor", None)
    if preprocess is None:
        model(batch) if isinstance(batch, Tensor) else model(*batch)
        return
    data = preprocess(batch, True)
    if isinstance(data, dict):
        model(**data, mode="loss")
    else:
        model(*data, mode="loss")


__all__ = ["feed", "reestimate"]
