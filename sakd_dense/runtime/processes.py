"""Process groups: joined and left on CPUs, and statistics over the batches of all processes."""

import gc
import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

# Before a group is joined: the default arguments of its functions would keep that group alive.
import torch.distributed.nn.functional as differentiable
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor

from .errors import UserError

#: How long a process that is done waits for the others.
LEAVE_TIMEOUT = timedelta(minutes=10)


def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of ``x`` over all processes, with gradients to each; ``x`` itself for one process.

    DDP averages gradients over processes, so a loss that is a mean over pixels, with statistics
    taken by this function, has the gradients of one process with the whole batch.
    """
    world = get_world_size()
    return x if world == 1 else differentiable.all_reduce(x) / world


def join_process_group(cfg: Config) -> None:
    """Joins the gloo group of ``--launcher pytorch`` on a machine without accelerator.

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


def leave_process_group(timeout: timedelta = LEAVE_TIMEOUT) -> None:
    """Leaves the process group, at the end of a run, once all processes have arrived here.

    A gloo group whose threads still run at exit may abort its process. They run on after
    ``destroy_process_group`` for as long as a DDP model is there, which a runner and its hooks keep
    in a reference cycle: what is unreachable is freed first.

    Args:
        timeout: how long to wait for the other processes of a gloo group. A process whose work is
            done logs that some did not arrive, and leaves.
    """
    if not dist.is_initialized():
        return
    gc.collect()
    try:
        if dist.get_backend() == "gloo":
            dist.monitored_barrier(timeout=timeout, wait_all_ranks=True)
        else:
            dist.barrier()
    except RuntimeError as error:
        print_log(
            f"not all processes arrived at the end of the run: {error}", "current", logging.WARNING
        )
    finally:
        dist.destroy_process_group()


@contextmanager
def leaving_process_group() -> Iterator[None]:
    """Leaves the process group behind the block, also when the block fails or exits."""
    try:
        yield
    except BaseException as error:
        # No barrier: the other processes may wait elsewhere, until the launcher ends them.
        if dist.is_initialized():
            _clear_frames(error)
            gc.collect()
            dist.destroy_process_group()
        raise
    leave_process_group()


def _clear_frames(error: BaseException | None) -> None:
    # The frames of a traceback keep the model, which keeps the group. The lines stay readable.
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
