"""A process that dies or hangs: the others end, and say which it was."""

import os
import signal
import time
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
from tests.helpers.processes import fork_group, kill, wait


def work(lost: int, fate: str) -> None:
    with leaving_process_group():
        cfg = Config(dict(launcher="pytorch", env_cfg=dict(dist_cfg=dict(timeout=3))))
        join_process_group(cfg)
        dist.barrier()
        if dist.get_rank() == lost:
            if fate == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(100)
        for _ in range(3):
            dist.all_reduce(torch.ones(10))


@pytest.mark.slow
@pytest.mark.parametrize("lost,fate", [(0, "hangs"), (1, "dies")])
def test_the_others_end_and_name_the_rank(tmp_path: Path, fate: str, lost: int):
    processes = fork_group(tmp_path, work, lost, fate)
    try:
        status = wait(processes[1 - lost], 90)
    finally:
        kill(processes[lost])
    assert status == 1
    said = (tmp_path / f"{1 - lost}.txt").read_text()
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
