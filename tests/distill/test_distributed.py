"""Two processes (gloo, on a CPU) give the gradients of one process with the whole batch."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.config.twins import ann_of
from tests.helpers.processes import run_script
from tests.helpers.scenes import retinanet, write_checkpoint

# Backbone in norm_eval: BatchNorm's batch statistics are those of a process, with or without us.
# find_unused_parameters stays False: DDP raises if a parameter is left out or used twice.
SCRIPT = """
import sys
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from sakd_dense.config import ann_of
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.wrappers import on_loss
from sakd_dense.distill.hook import SAKDHook
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.distill.terms import Terms
from scenes import build, detection_batch, retinanet

teacher_file, cases, out = sys.argv[1:4]
torch.set_num_threads(1)
if "RANK" in __import__("os").environ:
    dist.init_process_group("gloo")
rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
def gradients(prefixes, features):
    model = build(retinanet(norm_eval=True, time_steps=3)).train()
    hook = SAKDHook(dict(checkpoint=teacher_file), features=features, prefixes=prefixes)
    response = find_response(model)
    hook.teacher = build_teacher(ann_of(retinanet()), teacher_file, model)
    hook._terms = Terms(model, hook.teacher, hook.options, response)
    on_loss(model, hook._add_terms)
    batch = detection_batch(*[(64, 64)] * 4)
    for sample, corner in zip(batch["data_samples"], (4, 8, 12, 16)):
        boxes = [[corner, 4, corner + 24, 40.0], [20, corner, 60, 60]]
        sample.gt_instances.bboxes = torch.tensor(boxes)
    mine = slice(rank, None, world)
    batch = dict(inputs=batch["inputs"][mine], data_samples=batch["data_samples"][mine])
    wrapped = model
    if dist.is_initialized():
        wrapped = MMDistributedDataParallel(model, device_ids=None, find_unused_parameters=False)
    data = model.data_preprocessor(batch, True)
    for _ in range(2):  # twice: DDP finds out about unused parameters at the second forward
        model.zero_grad()
        losses = wrapped(**data, mode="loss")
        loss, log = model.parse_losses(losses)
        loss.backward()
    return {n: p.grad for n, p in model.named_parameters()}


found = [gradients(*case) for case in eval(cases)]
if rank == 0:
    torch.save(found, out)
"""


CASES = [
    ("random", dict(type="FeatureMSE", scale="channel")),
    (None, dict(type="FeaturePKD")),
    ("random", dict(type="FeatureCWD")),
]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    """Of every case, by one process and by two."""
    folder = tmp_path_factory.mktemp("distributed")
    init_default_scope("mmdet")
    torch.manual_seed(7)
    teacher = MODELS.build(ann_of(retinanet()))
    teacher.init_weights()
    file = write_checkpoint(teacher, folder / "teacher.pth")
    for name, processes in (("one", 1), ("two", 2)):
        run_script(SCRIPT, str(file), repr(CASES), f"{name}.pt", cwd=folder, processes=processes)
    return [torch.load(folder / f"{n}.pt", weights_only=True) for n in ("one", "two")]


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)), ids=["mse", "pkd", "cwd"])
def test_two_processes_give_the_gradients_of_one(gradients, case):
    one, two = (found[case] for found in gradients)
    assert one.keys() == two.keys()
    for name, grad in one.items():
        assert grad is not None and two[name] is not None, name
        torch.testing.assert_close(
            two[name], grad, rtol=2e-4, atol=2e-6, msg=lambda m, n=name: n + m
        )
