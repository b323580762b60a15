"""Two processes find what one finds."""

import json
from pathlib import Path

import pytest
import torch.distributed as dist
from mmengine.config import Config

from sakd_dense.timesteps import sweep
from tests.helpers.processes import run_group
from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_scenes,
)


def write_sweep(cfg: Config, checkpoint: Path, out: Path) -> None:
    # MMEngine's launcher sets a CUDA device; a process group that is there already is taken.
    dist.init_process_group("gloo")
    cfg.launcher = "pytorch"
    cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)
    result = sweep(cfg, checkpoint, (1, 4), timed_batches=0)
    if dist.get_rank() == 0:
        result.to_json(out)


@pytest.mark.slow
def test_two_processes(tmp_path):
    write_scenes(tmp_path)
    cfg = detection_config(tmp_path, retinanet())
    checkpoint = write_checkpoint(build(retinanet()), tmp_path / "snn.pth")
    sweep(cfg, checkpoint, (1, 4), timed_batches=0).to_json(tmp_path / "one.json")
    cfg.test_dataloader.batch_size = 1
    run_group(tmp_path, write_sweep, cfg, checkpoint, tmp_path / "two.json")
    one, two = (json.loads((tmp_path / f"{n}.json").read_text())["rows"] for n in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a["metrics"] == b["metrics"]
        assert a["firing_rate"] == pytest.approx(b["firing_rate"], abs=1e-6)
