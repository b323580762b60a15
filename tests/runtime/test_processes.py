"""Process groups on CPUs: how they start and how they end."""

import os
import subprocess
import sys
import weakref

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel

from sakd_dense.runtime.processes import leaving_process_group
from tests.helpers.processes import run_script

SYNC_BN = """
import os
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.registry import MODELS, init_default_scope
from sakd_dense.commands.prepare import start_processes

class Net(BaseModel):
    def __init__(self, norm_cfg):
        super().__init__()
        from mmcv.cnn import ConvModule
        self.conv = ConvModule(3, 4, 3, norm_cfg=norm_cfg)

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.conv(inputs).mean())

launched = "RANK" in os.environ
norm = dict(type="SyncBN", requires_grad=True)
cfg = Config(dict(model=dict(norm_cfg=norm), launcher="pytorch" if launched else "none"))
start_processes(cfg)
model = Net(**cfg.model).train()
run = MMDistributedDataParallel(model, device_ids=None) if launched else model
run(torch.rand(2, 3, 8, 8))["loss"].backward()
assert model.conv.bn.weight.grad is not None
assert type(model.conv.bn).__name__ == ("BatchNorm2d" if launched else "SyncBatchNorm")
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_config_with_sync_bn_trains_on_a_cpu(tmp_path, processes):
    run_script(SYNC_BN, cwd=tmp_path, processes=processes)


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


# Process 1 never arrives: it dies, or hangs for longer than process 0 waits.
ABSENT = """
import os, sys, time
from datetime import timedelta
import torch.distributed as dist
from sakd_dense.runtime.processes import leave_process_group
dist.init_process_group("gloo", init_method="file://" + os.path.abspath("store"),
                        rank=int(sys.argv[1]), world_size=2)
dist.barrier()
if sys.argv[1] == "1":
    time.sleep(20 if sys.argv[2] == "hangs" else 0)
    os._exit(0)
start = time.monotonic()
leave_process_group(timedelta(seconds=3))
assert time.monotonic() - start < 15
assert not dist.is_initialized()
"""


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["dies", "hangs"])
def test_a_process_that_does_not_arrive_is_not_waited_for_for_ever(tmp_path, fate):
    (tmp_path / "script.py").write_text(ABSENT)
    command = [sys.executable, "script.py"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    options = dict(cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    absent = subprocess.Popen([*command, "1", fate], **options)
    try:
        done = subprocess.run([*command, "0", fate], text=True, timeout=200, **options)
    finally:
        absent.kill()
        absent.wait()
    assert done.returncode == 0, done.stdout[-4000:]
    assert "not all processes reached" in done.stdout
