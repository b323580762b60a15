"""Two processes find what one finds."""

import json

import pytest

from sakd_dense.timesteps import sweep
from tests.helpers.processes import run_script
from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_scenes,
)

# MMEngine's launcher sets a CUDA device; a process group that is there already is taken as it is.
SCRIPT = """
import sys
import torch.distributed as dist
from mmengine.config import Config
from sakd_dense.timesteps import sweep
dist.init_process_group("gloo")
cfg = Config.fromfile(sys.argv[1])
cfg.launcher = "pytorch"
cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)
result = sweep(cfg, sys.argv[2], (1, 4), timed_batches=0)
if dist.get_rank() == 0:
    result.to_json(sys.argv[3])
"""


@pytest.mark.slow
def test_two_processes(tmp_path):
    write_scenes(tmp_path)
    cfg = detection_config(tmp_path, retinanet())
    checkpoint = write_checkpoint(build(retinanet()), tmp_path / "snn.pth")
    sweep(cfg, checkpoint, (1, 4), timed_batches=0).to_json(tmp_path / "one.json")
    cfg.test_dataloader.batch_size = 1
    cfg.dump(tmp_path / "config.py")
    run_script(SCRIPT, "config.py", str(checkpoint), "two.json", cwd=tmp_path, processes=2)
    one, two = (json.loads((tmp_path / f"{n}.json").read_text())["rows"] for n in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a["metrics"] == b["metrics"]
        assert a["firing_rate"] == pytest.approx(b["firing_rate"], abs=1e-6)
