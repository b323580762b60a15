"""Functions to join and leave process groups on CPUs, and means over all processes."""

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

# Import this before joining a group: the default arguments of its functions would keep that alive.
import torch.distributed.nn.functional as differentiable
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from .errors import UserError, first_line

#: Time for which a finished process waits for the others.
LEAVE_TIMEOUT = timedelta(minutes=10)
#: Time for which a failed process looks for missing processes.
LOOK_TIMEOUT = timedelta(seconds=10)
#: Messages of gloo and NCCL for a process that has ended or does not answer.
_LOST = re.compile(
    r"[Cc]onnection (closed|reset)|Broken pipe|[Tt]imed out|Read error|Write error|"
    r"failed to pass monitoredBarrier|remote process exited|Watchdog caught"
)


def mean_over_processes(x: Tensor) -> Tensor:
    """Returns the mean of ``x`` over all processes, with gradients to each.

    For a single process, the result is ``x`` itself. DDP averages gradients over processes. A loss
    that is a mean over pixels and takes its statistics from this function therefore has the
    gradients of one process with the complete batch.
    """
    world = get_world_size()
    return x if world == 1 else differentiable.all_reduce(x) / world


def join_process_group(cfg: Config) -> None:
    """Joins the gloo group of ``--launcher pytorch`` on a machine without an accelerator.

    MMEngine's own launcher would set a CUDA device, but it accepts an existing group.

    Raises:
        UserError: no launcher started this process, or ``env_cfg.dist_cfg.timeout`` is not a
            number of seconds.
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
    """Leaves the process group at the end of a run, after all processes have called this function.

    A gloo group whose threads still run at exit may abort its process. The threads run after
    ``destroy_process_group`` as long as a DDP model exists, and a runner and its hooks keep that
    model in a reference cycle. Therefore unreachable objects are freed first.

    Args:
        timeout: how long to wait for the other processes of a gloo group. If some do not arrive in
            time, the process logs a warning and leaves.
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
    """Leaves the process group after the block, even if the block fails or exits.

    Raises:
        SystemExit: the block failed because another process has ended or does not answer. The
            message names its rank if it is known.
    """
    try:
        yield
    except BaseException as error:
        # No barrier here: the other processes may wait elsewhere until the launcher ends them.
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


def unwrapped(model: nn.Module) -> nn.Module:
    """Returns ``model`` without the wrapper of DDP or FSDP."""
    return model.module if is_model_wrapper(model) else model


def lost_processes(error: BaseException, timeout: timedelta = LOOK_TIMEOUT) -> str:
    """Returns a message if a missing process caused ``error``, and otherwise ''.

    Args:
        error: the exception that ended this process's work.
        timeout: how long to look for the other processes of a gloo group. NCCL needs no search:
            its own message names what it waited for.
    """
    first = first_line(error)
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
    """Returns the ranks of a gloo group that do not answer within ``timeout``, as far as known.

    Every remaining process writes its rank into the group's store and reads those of the others.
    This exchange needs no connection to the missing processes.
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
    except RuntimeError:  # the process that held the store is gone, by default rank 0
        return [0] if rank else absent
    return absent


def _clear_frames(error: BaseException | None) -> None:
    # The frames of a traceback keep the model alive, which keeps the group alive. The traceback's
    # lines stay readable.
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
