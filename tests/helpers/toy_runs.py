"""Runs of seconds: a linear model on random numbers, with all that draws at random."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn

from sakd_dense.guards.run import guard_run
from tests.helpers.runs import forget_runs


@MODELS.register_module()
class ToyModel(BaseModel):
    """Dropout in the forward, BatchNorm, and a loss with a name."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.last = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor, mode: str = "tensor") -> Any:
        y = self.last(self.net(torch.stack(list(x))))
        return dict(loss_fit=(y - 1).square().mean()) if mode == "loss" else list(y)


@DATASETS.register_module()
class ToyDataset(BaseDataset):
    """16 numbers with noise; ``bad``: the indices whose file cannot be read."""

    def load_data_list(self) -> list[dict[str, Any]]:
        return [dict(img_path=f"{self.data_root}/{i}.png", value=float(i)) for i in range(16)]


class LoadToy:
    """Reads nothing, as well as a damaged file where ``bad`` says so."""

    def __init__(self, bad: tuple[int, ...] = (), gives_none: bool = False) -> None:
        self.bad, self.gives_none = bad, gives_none

    def __call__(self, data: dict[str, Any]) -> dict[str, Any] | None:
        if int(data["value"]) not in self.bad:
            return data
        if self.gives_none:
            return None
        raise OSError("image file is truncated")


def add_noise(data: dict[str, Any]) -> dict[str, torch.Tensor]:
    return dict(x=torch.full((4,), data["value"]) / 8 + float(np.random.rand()))


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Better each time; draws, as a metric may."""

    times = 0

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(float(np.random.rand()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        ToyMetric.times += 1
        return dict(acc=float(ToyMetric.times))


def toy_runner(work_dir: Path, by_epoch: bool = True, guarded: bool = True, **changes: Any) -> Any:
    """A runner of 4 epochs of 4 iterations, with a checkpoint and a validation every 4."""
    forget_runs()
    data = dict(type="ToyDataset", data_root=str(work_dir.parent), serialize_data=False)
    sampler = dict(type="DefaultSampler" if by_epoch else "InfiniteSampler", shuffle=True)
    train = dict(batch_size=4, num_workers=0, sampler=sampler)
    train["dataset"] = dict(data, pipeline=[LoadToy(), add_noise])
    val = dict(batch_size=8, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
    val["dataset"] = dict(data, test_mode=True, pipeline=[LoadToy(), add_noise])
    loop = dict(by_epoch=True, max_epochs=4, val_interval=1)
    if not by_epoch:
        loop = dict(by_epoch=False, max_iters=16, val_interval=4)
    kept = dict(interval=1 if by_epoch else 4, by_epoch=by_epoch, max_keep_ckpts=1)
    settings: dict[str, Any] = dict(
        model=dict(type="ToyModel"),
        work_dir=str(work_dir),
        train_dataloader=train,
        train_cfg=loop,
        val_dataloader=val,
        val_cfg=dict(),
        val_evaluator=dict(type="ToyMetric"),
        optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.01)),
        param_scheduler=dict(type="ExponentialLR", gamma=0.9, by_epoch=by_epoch),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", save_best="acc", **kept)),
        custom_hooks=[dict(type="EMAHook", momentum=0.1)],
        randomness=dict(seed=3),
        log_level="ERROR",
        experiment_name="toy",
    )
    for name, value in changes.items():
        place, _, last = name.rpartition("__")
        inner = settings
        for key in place.split("__") if place else ():
            inner = inner[key]
        inner[last] = value
    runner = Runner(**settings, cfg={})
    if guarded:
        guard_run(runner)
    return runner
