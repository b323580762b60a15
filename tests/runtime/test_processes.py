"""Process groups on CPUs: how they start and how they end."""

import pytest
import torch.distributed as dist

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
