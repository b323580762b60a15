"""Blocks that keep only their input for backward and run again there (``with_cp=True``)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..neurons.batchnorm import BatchNorm
from ..runtime.patching import temporarily


def _frozen_statistics(module: nn.Module) -> AbstractContextManager[None]:
    # The recomputation of a checkpointed block must not count the same batch twice.
    norms = [m for m in module.modules() if isinstance(m, BatchNorm)]
    return temporarily(norms, momentum=0.0, num_batches_tracked=None)


def checkpointed(run: Callable[..., Tensor], *args: Any, of: nn.Module) -> Tensor:
    """Returns ``run(*args)`` and recomputes it in backward instead of keeping its tensors.

    Args:
        run: function to call.
        *args: arguments of ``run``.
        of: module whose BatchNorms count the batch only once.
    """
    return checkpoint(
        run,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _frozen_statistics(of)),
    )


__all__ = ["checkpointed"]
