"""SAKD in MMEngine's FSDP, two processes of a CPU, as far as it was run (docs/howto/gpus.md)."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner._flexible_runner import FlexibleRunner

from tests.helpers.processes import run_group
from tests.helpers.small_run import write_config


class Record(Hook):
    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({k: float(v) for k, v in outputs.items() if "loss" in k})


def train() -> None:
    dist.init_process_group("gloo")
    cfg = Config.fromfile("ann.py")
    cfg.model.backbone.update(type="SEWResNet", time_steps=2, frozen_stages=-1, norm_eval=False)
    wrapper = dict(
        type="MMFullyShardedDataParallel", use_orig_params=True, device_id=torch.device("cpu")
    )
    teacher = dict(checkpoint="teacher.pth", config="ann.py")
    runner = FlexibleRunner(
        model=cfg.model,
        work_dir="run",
        strategy=dict(type="FSDPStrategy", model_wrapper=wrapper),
        train_dataloader=cfg.train_dataloader,
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=3),
        optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3)),
        custom_hooks=[dict(type="SAKDHook", teacher=teacher)],
        default_scope="mmdet",
        cfg=cfg,
    )
    record = Record()
    runner.register_hook(record)
    runner.train()
    if dist.get_rank() == 0:
        torch.save(record.losses, "losses.pt")


@pytest.mark.slow
def test_a_sharded_student_is_taught(tmp_path: Path) -> None:
    config = Config.fromfile(write_config(tmp_path))
    init_default_scope("mmdet")
    teacher = MODELS.build(config.model)
    torch.save(dict(state_dict=teacher.state_dict(), meta={}), tmp_path / "teacher.pth")
    run_group(tmp_path, train)
    losses = torch.load(tmp_path / "losses.pt", weights_only=True)
    assert len(losses) == 3
    taught = {"loss_sakd_feat", "loss_sakd_cls", "loss_sakd_box", "loss_sakd_prefix_feat"}
    for found in losses:
        assert taught <= set(found) and torch.tensor(list(found.values())).isfinite().all()
    assert losses[0] != losses[2]
