"""Process groups on CPUs: how they start and how they end."""

import os
import time
import weakref
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from mmcv.cnn import ConvModule
from mmengine.config import Config
from mmengine.model import BaseModel, MMDistributedDataParallel

from sakd_dense.commands.prepare import start_processes
from sakd_dense.runtime.processes import leave_process_group, leaving_process_group
from tests.helpers.processes import fork_group, kill, run_group, wait


class Net(BaseModel):
    def __init__(self, norm_cfg: dict) -> None:
        super().__init__()
        self.conv = ConvModule(3, 4, 3, norm_cfg=norm_cfg)

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.conv(inputs).mean())


def train_with_sync_bn(launcher: str) -> None:
    norm = dict(type="SyncBN", requires_grad=True)
    cfg = Config(dict(model=dict(norm_cfg=norm), launcher=launcher))
    start_processes(cfg)
    launched = launcher != "none"
    model = Net(**cfg.model).train()
    run = MMDistributedDataParallel(model, device_ids=None) if launched else model
    run(torch.rand(2, 3, 8, 8))["loss"].backward()
    assert model.conv.bn.weight.grad is not None
    assert type(model.conv.bn).__name__ == ("BatchNorm2d" if launched else "SyncBatchNorm")


@pytest.mark.slow
def test_a_config_with_sync_bn_trains_on_a_cpu(tmp_path):
    train_with_sync_bn("none")
    run_group(tmp_path, train_with_sync_bn, "pytorch")


@pytest.mark.parametrize("error", [None, RuntimeError("a bug"), SystemExit("error: a user's")])
def test_the_group_is_left_however_the_run_ends(error):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with leaving_process_group():
            assert dist.is_initialized()
            if error is not None:
                raise error
    except (RuntimeError, SystemExit) as caught:
        assert caught is error
    assert not dist.is_initialized()


def run_like_mmengine(error: BaseException | None) -> None:
    """A runner and its wrapped model refer to each other."""

    class Runner:
        pass

    runner = Runner()
    runner.itself = runner
    runner.model = MMDistributedDataParallel(torch.nn.Linear(2, 2), device_ids=None)
    runner.model.module(torch.rand(1, 2)).sum().backward()
    if error is not None:
        try:
            raise ValueError("the cause")
        except ValueError as cause:
            raise error from cause


@pytest.mark.parametrize("error", [None, RuntimeError("a bug"), SystemExit("error: a user's")])
def test_nothing_of_a_run_keeps_the_group_alive(error):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    group = weakref.ref(dist.group.WORLD)
    try:
        with leaving_process_group():
            run_like_mmengine(error)
    except (RuntimeError, SystemExit) as caught:
        assert caught is error
    assert group() is None


def leave_without(fate: str) -> None:
    """Process 1 never arrives: it dies, or hangs for longer than process 0 waits."""
    dist.init_process_group("gloo")
    dist.barrier()
    if dist.get_rank() == 1:
        time.sleep(20 if fate == "hangs" else 0)
        os._exit(0)
    start = time.monotonic()
    leave_process_group(timedelta(seconds=3))
    assert time.monotonic() - start < 15
    assert not dist.is_initialized()


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["dies", "hangs"])
def test_an_absent_process_times_out(tmp_path, fate):
    processes = fork_group(tmp_path, leave_without, fate)
    try:
        assert wait(processes[0], 60) == 0, (tmp_path / "0.txt").read_text()
    finally:
        kill(processes[1])
    assert "not all processes reached" in (tmp_path / "0.txt").read_text()
