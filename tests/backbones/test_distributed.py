"""Two processes (gloo, on a CPU) give every family of backbones the gradients of one."""

import pytest
import torch

from tests.helpers.processes import run_script
from tests.helpers.upstream_backbones import ARCHETYPES, NAMES

# In double precision, where no rounding decides whether a neuron fires. In eval mode: BatchNorm's
# batch statistics are those of a process, with or without neurons.
SCRIPT = """
import os
import sys
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
import sakd_dense
from upstream_backbones import built, config, images, lively

COUNTS = dict(type="NILIFNode", D=4)
RESNET = dict(depth=18, base_channels=8, time_steps=3)
torch.set_num_threads(1)
if "RANK" in os.environ:
    dist.init_process_group("gloo")
rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def backbone(name, neuron):
    changes = dict(neuron=COUNTS, time_steps=1) if neuron == "counts" else {}
    if name in ("SEWResNet", "SpikingResNet"):
        torch.manual_seed(0)
        model = built(dict(RESNET, type=name, **changes), "mmdet").train()
        model(images())
        return model.eval()
    model = lively(name)
    if changes:
        counting = built({**config(name), **changes}, name.split(".")[0])
        counting.load_state_dict(model.state_dict(), strict=False)  # but for thresholds
        model = counting.eval()
    return model


def loss(model, x):
    out = model(x)
    return sum(o.square().mean() for o in ([out] if isinstance(out, torch.Tensor) else out))


def gradients(name, neuron):
    model, x = backbone(name, neuron).double(), images().double()
    wrapped = model
    if dist.is_initialized():
        # Some backbones have layers behind the outputs that are asked for.
        wrapped = MMDistributedDataParallel(model, device_ids=None, find_unused_parameters=True)
    loss(wrapped, x[rank::world]).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


found = {}
for case in sys.argv[2].split(","):
    found[case] = gradients(*case.split("/"))
if rank == 0:
    torch.save(found, sys.argv[1])
"""
RESIDUAL = ("SEWResNet", "SpikingResNet")
OTHERS = tuple(name for name in NAMES if name not in ARCHETYPES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [(*RESIDUAL, *ARCHETYPES), pytest.param(OTHERS, marks=pytest.mark.nightly)],
    ids=["archetypes", "others"],
)
def test_two_processes_give_the_gradients_of_one(names, tmp_path):
    cases = ",".join(f"{name}/{neuron}" for name in names for neuron in ("binary", "counts"))
    for name, processes in (("one", 1), ("two", 2)):
        run_script(SCRIPT, f"{name}.pt", cases, cwd=tmp_path, processes=processes)
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("one", "two"))
    assert set(one) == set(two) == set(cases.split(","))
    for case, found in one.items():
        assert found and found.keys() == two[case].keys()
        assert any(grad.any() for grad in found.values())
        for name, grad in found.items():
            torch.testing.assert_close(two[case][name], grad, msg=lambda m, n=name: f"{n} {m}")
