"""SAKD in MMEngine's FSDP, two processes of a CPU, as far as it was run (docs/howto/gpus.md)."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.helpers.processes import run_script
from tests.helpers.small_run import write_config

SCRIPT = """
import sys
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner._flexible_runner import FlexibleRunner
import sakd_dense

dist.init_process_group("gloo")
torch.set_num_threads(1)
cfg = Config.fromfile("ann.py")
cfg.model.backbone.update(type="SEWResNet", time_steps=2, frozen_stages=-1, norm_eval=False)
losses = []


class Record(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        losses.append({k: float(v) for k, v in outputs.items() if "loss" in k})


wrapper = dict(
    type="MMFullyShardedDataParallel", use_orig_params=True, device_id=torch.device("cpu")
)
runner = FlexibleRunner(
    model=cfg.model,
    work_dir="run",
    strategy=dict(type="FSDPStrategy", model_wrapper=wrapper),
    train_dataloader=cfg.train_dataloader,
    train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=3),
    optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3)),
    custom_hooks=[dict(type="SAKDHook", teacher=dict(checkpoint="teacher.pth", config="ann.py"))],
    default_scope="mmdet",
    cfg=cfg,
)
runner.register_hook(Record())
runner.train()
if dist.get_rank() == 0:
    torch.save(losses, "losses.pt")
"""


@pytest.mark.nightly
@pytest.mark.slow
def test_a_sharded_student_is_taught(tmp_path: Path) -> None:
    config = Config.fromfile(write_config(tmp_path))
    init_default_scope("mmdet")
    teacher = MODELS.build(config.model)
    torch.save(dict(state_dict=teacher.state_dict(), meta={}), tmp_path / "teacher.pth")
    run_script(SCRIPT, cwd=tmp_path, processes=2)
    losses = torch.load(tmp_path / "losses.pt", weights_only=True)
    assert len(losses) == 3
    taught = {"loss_sakd_feat", "loss_sakd_cls", "loss_sakd_box", "loss_sakd_prefix_feat"}
    for found in losses:
        assert taught <= set(found) and torch.tensor(list(found.values())).isfinite().all()
    assert losses[0] != losses[2]
