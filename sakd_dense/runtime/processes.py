"""Process groups: joined and left on CPUs, and statistics over the batches of all processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import get_world_size
from torch import Tensor

from .errors import UserError


def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of ``x`` over all processes, with gradients to each; ``x`` itself for one process.

    DDP averages gradients over processes, so a loss that is a mean over pixels, with statistics
    taken by this function, has the gradients of one process with the whole batch.
    """
    world = get_world_size()
    return x if world == 1 else differentiable.all_reduce(x) / world


def join_process_group(cfg: Config) -> None:
    """Where there is no accelerator: the gloo group of ``--launcher pytorch``.

    MMEngine's own launcher would set a CUDA device; it takes a group that is there already.

    Raises:
        UserError: this process was not started by a launcher.
    """
    if cfg.launcher != "pytorch" or get_device() != "cpu" or dist.is_initialized():
        return
    if "RANK" not in os.environ:
        raise UserError(
            "--launcher pytorch: RANK is not set; start it by tools/dist_train.sh or "
            "tools/dist_test.sh"
        )
    dist.init_process_group("gloo")
    wrapper = cfg.get("model_wrapper_cfg") or dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    cfg.model_wrapper_cfg = ConfigDict(wrapper, device_ids=None)


def leave_process_group() -> None:
    """At the end of a run: a gloo group that is still there at exit may abort its process."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


@contextmanager
def leaving_process_group() -> Iterator[None]:
    """Leaves the process group behind the block, also when the block fails or exits."""
    try:
        yield
    except BaseException:
        # No barrier: the other processes may wait elsewhere, until the launcher ends them.
        if dist.is_initialized():
            dist.destroy_process_group()
        raise
    leave_process_group()
