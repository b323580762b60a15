"""A process that dies or hangs: the others end, and say which it was."""

import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config

from sakd_dense.runtime.errors import UserError
from sakd_dense.runtime.processes import (
    join_process_group,
    leaving_process_group,
    lost_processes,
)


def work(rank: int, port: int, lost: int, fate: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with leaving_process_group():
        cfg = Config(dict(launcher="pytorch", env_cfg=dict(dist_cfg=dict(timeout=3))))
        join_process_group(cfg)
        dist.barrier()
        if rank == lost:
            if fate == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(100)
        for _ in range(3):
            dist.all_reduce(torch.ones(10))


def fork(rank: int, log: Path, *args) -> int:
    process = os.fork()
    if process:
        return process
    with log.open("w") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = os.fdopen(2, "w")
    try:
        work(rank, *args)
    except SystemExit as error:
        print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(1)


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["dies", "hangs"])
@pytest.mark.parametrize("lost", [0, 1])
def test_the_others_end_and_name_the_rank(tmp_path: Path, fate: str, lost: int):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logs = [tmp_path / f"{rank}.txt" for rank in range(2)]
    processes = [fork(rank, logs[rank], port, lost, fate) for rank in range(2)]
    left, deadline = processes[1 - lost], time.monotonic() + 90
    while os.waitpid(left, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    ended = time.monotonic() < deadline
    for process in processes if not ended else [processes[lost]]:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert ended
    said = logs[1 - lost].read_text()
    assert f"error: rank {1 - lost} of 2: rank {lost} has ended" in said and "--resume" in said
    assert "Traceback" not in said


def test_other_errors_are_not_taken_for_a_lost_process():
    assert lost_processes(RuntimeError("shapes differ")) == ""
    assert lost_processes(UserError("Connection closed")) == ""


@pytest.mark.parametrize("timeout", ["long", True, [3]])
def test_a_timeout_is_a_number_of_seconds(monkeypatch, timeout):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr("sakd_dense.runtime.processes.get_device", lambda: "cpu")
    cfg = Config(dict(launcher="pytorch", env_cfg=dict(dist_cfg=dict(timeout=timeout))))
    with pytest.raises(UserError, match=r"env_cfg\.dist_cfg\.timeout="):
        join_process_group(cfg)
