"""Process groups: joined and left on CPUs, and statistics over the batches of all processes."""

import gc
import logging
import os
import re
import time
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
#: How long one that fails looks for those that are gone.
LOOK_TIMEOUT = timedelta(seconds=10)
#: How gloo and NCCL say that another process is gone or does not answer.
_LOST = re.compile(
    r"[Cc]onnection (closed|reset)|Broken pipe|[Tt]imed out|Read error|Write error|"
    r"failed to pass monitoredBarrier|remote process exited|Watchdog caught"
)


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
            "--launcher pytorch: RANK is not set; start the run with tools/dist_train.sh or "
            "tools/dist_test.sh"
        )
    seconds = ((cfg.get("env_cfg") or {}).get("dist_cfg") or {}).get("timeout")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
        raise UserError(f"env_cfg.dist_cfg.timeout={seconds!r}: must be a number of seconds")
    dist.init_process_group("gloo", timeout=seconds and timedelta(seconds=seconds))
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
            f"not all processes reached the end of the run: {error}", "current", logging.WARNING
        )
    finally:
        dist.destroy_process_group()


@contextmanager
def leaving_process_group() -> Iterator[None]:
    """Leaves the process group behind the block, also when the block fails or exits.

    Raises:
        SystemExit: the block failed because another process is gone or does not answer; with a
            message that names its rank.
    """
    try:
        yield
    except BaseException as error:
        # No barrier: the other processes may wait elsewhere, until the launcher ends them.
        lost = ""
        if dist.is_initialized():
            lost = lost_processes(error)
            _clear_frames(error)
            gc.collect()
            dist.destroy_process_group()
        if lost:
            raise SystemExit(f"error: {lost}") from error
        raise
    leave_process_group()


def lost_processes(error: BaseException, timeout: timedelta = LOOK_TIMEOUT) -> str:
    """Returns a message if ``error`` comes from a process that is gone, else ''.

    Args:
        error: that ended this process's work.
        timeout: how long to look for the others (gloo; NCCL's own message names what it waited
            for).
    """
    first = (str(error).strip().splitlines() or [""])[0]
    if not isinstance(error, RuntimeError) or _LOST.search(first) is None:
        return ""
    ranks = absent_ranks(timeout) if dist.get_backend() == "gloo" else []
    rank, world = dist.get_rank(), dist.get_world_size()
    names = ", ".join(map(str, ranks))
    who = f"rank {names}" if ranks else "another process"
    return (
        f"rank {rank} of {world}: {who} has ended, or did not answer within the timeout "
        "(env_cfg.dist_cfg.timeout, in seconds). Look for the reason in its log, or, if it was "
        "killed (often for lack of memory), in the system's log. Start all processes again with "
        f"--resume. ({first[:200]})"
    )


def absent_ranks(timeout: timedelta) -> list[int]:
    """The ranks of a gloo group that do not answer within ``timeout``, as far as is known here.

    Every process that is left writes its rank into the group's store and reads the others', which
    needs no connection to those that are gone.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    store = dist.distributed_c10d._get_default_store()
    deadline = time.monotonic() + timeout.total_seconds()
    absent = [r for r in range(world) if r != rank]
    try:
        store.set(f"sakd_dense-still-there-{rank}", "1")
        while absent and time.monotonic() < deadline:
            absent = [r for r in absent if not store.check([f"sakd_dense-still-there-{r}"])]
            time.sleep(0.2)
    except RuntimeError:  # the store was that of a process that is gone: by default rank 0
        return [0] if rank else absent
    return absent


def _clear_frames(error: BaseException | None) -> None:
    # The frames of a traceback keep the model, which keeps the group. The lines stay readable.
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
