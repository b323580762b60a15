"""A run on four small pictures: student, teacher checkpoint, hook."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from sakd_dense.config.twins import ann_of
from tests.helpers.scenes import detection_config, retinanet, write_checkpoint, write_scenes

CLASSES = dict(dataset_meta=dict(classes=("square", "disc")))


@pytest.fixture
def teacher_file(tmp_path: Path) -> str:
    """A checkpoint of the student's ANN twin, every weight another than at any start."""
    init_default_scope("mmdet")
    torch.manual_seed(7)
    teacher = MODELS.build(ann_of(retinanet()))
    teacher.init_weights()
    for name, value in teacher.state_dict().items():
        if name.endswith(("bn1.bias", "bn2.bias")):
            value.uniform_(0.0, 0.5)
    return write_checkpoint(teacher, tmp_path / "teacher.pth", **CLASSES)


@pytest.fixture
def make_runner(tmp_path: Path, teacher_file: str) -> Callable[..., Runner]:
    """``make_runner(hook=dict(...), ...)``: a Runner that trains two epochs of two iterations."""
    write_scenes(tmp_path / "data")
    count = iter(range(100))

    def make(
        hook: dict[str, Any] | None = None,
        backbone: dict[str, Any] | None = None,
        work: str | None = None,
        **changes: Any,
    ) -> Runner:
        args = {"type": "SAKDHook", "teacher": dict(checkpoint=teacher_file), **(hook or {})}
        changes.setdefault("custom_hooks", [])
        changes["custom_hooks"] = [*changes["custom_hooks"], args]
        changes.setdefault("randomness", dict(seed=3))
        cfg = detection_config(
            tmp_path / "data", retinanet(**{"time_steps": 3, **(backbone or {})}), **changes
        )
        cfg.work_dir = str(tmp_path / (work or f"work{next(count)}"))
        cfg.experiment_name = f"run{next(count)}"
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
        return Runner.from_cfg(cfg)

    return make
