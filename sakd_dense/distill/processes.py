"""Statistics of the whole batch, where several processes hold a part of it each."""

import torch.distributed.nn.functional as differentiable
from mmengine.dist import get_world_size
from torch import Tensor


def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of ``x`` over all processes, with gradients to each; ``x`` itself for one process.

    DDP averages gradients over processes, so a loss that is a mean over pixels, with statistics
    taken by this function, has the gradients of one process with the whole batch.
    """
    world = get_world_size()
    return x if world == 1 else differentiable.all_reduce(x) / world
