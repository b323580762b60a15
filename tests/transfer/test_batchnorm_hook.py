"""ReestimateBatchNormHook in whole runs: the last checkpoint has the final weights' statistics."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sakd_dense.transfer import ReestimateBatchNormHook, reestimate
from tests.helpers.processes import run_group


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x, mode="tensor"):
        return dict(loss=(self.norm(self.conv(x)) - 1).pow(2).mean())


def trained(folder, train_cfg, **hook):
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(8, 3, 4, 4) * 5)
    by_epoch = train_cfg.get("by_epoch", False)
    runner = Runner(
        Model(),
        str(folder),
        train_dataloader=DataLoader(data, 2, sampler=DefaultSampler(data, shuffle=False)),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=by_epoch)),
        custom_hooks=[dict(type="ReestimateBatchNormHook", **hook)],
    )
    runner.train()
    return runner, data


@pytest.mark.parametrize(
    ("train_cfg", "last", "middle"),
    [
        (dict(by_epoch=True, max_epochs=4), "epoch_4.pth", "epoch_2.pth"),
        (dict(by_epoch=False, max_iters=4), "iter_4.pth", "iter_2.pth"),
    ],
)
def test_the_last_checkpoint_has_the_statistics_of_its_weights(tmp_path, train_cfg, last, middle):
    _, data = trained(tmp_path, train_cfg, num_batches=3)
    for name, fits in ((last, True), (middle, False)):
        kept = torch.load(tmp_path / name, weights_only=False)["state_dict"]
        model = Model()
        model.load_state_dict(kept)
        reestimate(model, DataLoader(data, 2), 3)
        found = torch.allclose(model.norm.running_mean, kept["norm.running_mean"], atol=1e-6)
        assert found is fits


@pytest.mark.parametrize("wrong", [0, True, 1.5])
def test_a_bad_number_is_refused(wrong):
    with pytest.raises(ValueError, match="num_batches"):
        ReestimateBatchNormHook(num_batches=wrong)


def write_mean(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    runner = SimpleNamespace(
        iter=3,
        max_iters=4,
        model=MMDistributedDataParallel(NormAlone()),
        train_dataloader=[[torch.full((2, 3, 2, 2), rank + 1.0)]],
    )
    ReestimateBatchNormHook(num_batches=1).after_train_iter(runner)
    torch.save(runner.model.module.norm.running_mean, folder / f"{rank}.pt")


class NormAlone(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x, mode="tensor"):
        return dict(loss=self.norm(x).mean())


@pytest.mark.slow
def test_processes_share_the_mean_of_their_statistics(tmp_path):
    run_group(tmp_path, write_mean, tmp_path)
    for rank in (0, 1):  # batches of ones and of twos
        mean = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(mean, torch.full((3,), 1.5))
