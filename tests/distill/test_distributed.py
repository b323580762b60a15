"""Two processes (gloo, on a CPU) give the gradients of one process with the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from sakd_dense.config.twins import ann_of
from sakd_dense.distill.hook import SAKDHook
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.distill.terms import Terms
from sakd_dense.distill.wrappers import on_loss
from tests.helpers.processes import run_group
from tests.helpers.scenes import build, detection_batch, retinanet, write_checkpoint

CASES = {
    "mse": dict(prefixes="random", features=dict(type="FeatureMSE", scale="channel")),
    "pkd": dict(prefixes=None, features=dict(type="FeaturePKD")),
    "cwd": dict(prefixes="random", features=dict(type="FeatureCWD")),
}


def gradients(teacher_file: str, options: dict[str, Any]) -> dict[str, Tensor | None]:
    # Backbone in norm_eval: BatchNorm's batch statistics are those of a process, with or without
    # us. find_unused_parameters stays False: DDP raises if a parameter is left out or used twice.
    torch.manual_seed(7)
    model = build(retinanet(norm_eval=True, time_steps=3)).train()
    hook = SAKDHook(dict(checkpoint=teacher_file), **options)
    hook.teacher = build_teacher(ann_of(retinanet()), teacher_file, model)
    hook._terms = Terms(model, hook.teacher, hook.options, find_response(model))
    on_loss(model, hook._add_terms)
    batch = detection_batch(*[(64, 64)] * 4)
    for sample, corner in zip(batch["data_samples"], (4, 8, 12, 16), strict=True):
        boxes = [[corner, 4, corner + 24, 40.0], [20, corner, 60, 60]]
        sample.gt_instances.bboxes = torch.tensor(boxes)
    wrapped, mine = model, slice(None)
    if dist.is_initialized():
        mine = slice(dist.get_rank(), None, dist.get_world_size())
        wrapped = MMDistributedDataParallel(model, device_ids=None, find_unused_parameters=False)
    batch = dict(inputs=batch["inputs"][mine], data_samples=batch["data_samples"][mine])
    data = model.data_preprocessor(batch, True)
    for _ in range(2):  # twice: DDP finds out about unused parameters at the second forward
        model.zero_grad()
        losses = wrapped(**data, mode="loss")
        loss, _ = model.parse_losses(losses)
        loss.backward()
    return {n: p.grad for n, p in model.named_parameters()}


def write_gradients(teacher_file: str, out: Path) -> None:
    init_default_scope("mmdet")
    dist.init_process_group("gloo")
    found = {name: gradients(teacher_file, options) for name, options in CASES.items()}
    if dist.get_rank() == 0:
        torch.save(found, out)


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path):
    init_default_scope("mmdet")
    torch.manual_seed(7)
    teacher = MODELS.build(ann_of(retinanet()))
    teacher.init_weights()
    file = str(write_checkpoint(teacher, tmp_path / "teacher.pth"))
    run_group(tmp_path, write_gradients, file, tmp_path / "two.pt")
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    for case, options in CASES.items():
        for name, grad in gradients(file, options).items():
            assert grad is not None and two[case][name] is not None, (case, name)
            named = dict(rtol=2e-4, atol=2e-6, msg=lambda m, at=(case, name): f"{at} {m}")
            torch.testing.assert_close(two[case][name], grad, **named)
