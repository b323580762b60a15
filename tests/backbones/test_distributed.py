"""Two processes (gloo, on a CPU) give every family of backbones the gradients of one."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn

from tests.helpers.processes import run_group
from tests.helpers.upstream_backbones import ARCHETYPES, NAMES, built, config, images, lively

COUNTS = dict(type="NILIFNode", D=4)
RESNET = dict(depth=18, base_channels=8, time_steps=3)
RESIDUAL = ("SEWResNet", "SpikingResNet")
OTHERS = tuple(name for name in NAMES if name not in ARCHETYPES)


def backbone(name: str, neuron: str) -> nn.Module:
    """In eval mode: the batch statistics of BatchNorm are those of a process."""
    changes = dict(neuron=COUNTS, time_steps=1) if neuron == "counts" else {}
    if name in RESIDUAL:
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


def gradients(name: str, neuron: str) -> dict[str, Tensor]:
    """In double precision, where no rounding decides whether a neuron fires."""
    model, x = backbone(name, neuron).double(), images().double()
    wrapped, mine = model, slice(None)
    if dist.is_initialized():
        # Some backbones have layers behind the outputs that are asked for.
        wrapped = MMDistributedDataParallel(model, device_ids=None, find_unused_parameters=True)
        mine = slice(dist.get_rank(), None, dist.get_world_size())
    out = wrapped(x[mine])
    sum(o.square().mean() for o in ([out] if isinstance(out, Tensor) else out)).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def write_gradients(names: tuple[str, ...], out: Path) -> None:
    dist.init_process_group("gloo")
    found = {(n, neuron): gradients(n, neuron) for n in names for neuron in ("binary", "counts")}
    if dist.get_rank() == 0:
        torch.save(found, out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [(*RESIDUAL, *ARCHETYPES), pytest.param(OTHERS, marks=pytest.mark.nightly)],
    ids=["archetypes", "others"],
)
def test_two_processes_give_the_gradients_of_one(names, tmp_path):
    run_group(tmp_path, write_gradients, names, tmp_path / "two.pt")
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    assert {name for name, _ in two} == set(names)
    for case, found in two.items():
        one = gradients(*case)
        assert one and one.keys() == found.keys()
        assert any(grad.any() for grad in one.values())
        for name, grad in one.items():
            torch.testing.assert_close(found[name], grad, msg=lambda m, n=name: f"{n} {m}")
