#!/usr/bin/env python
"""Memory, files, threads and hooks of a run at iteration 50 and 1,000: nothing may grow.

  python -m benchmarks.trust.soak --out benchmarks/results/robust/soak.json

Tiny models at T = 2 run through MMEngine's Runner with the hooks of tools/train.py: a detector, a
segmentor and a two-stage detector, each on one batch and taught at all prefixes. Every 50
iterations the script reads the bytes of every tensor that Python can reach, resident memory, open
files, threads, PyTorch hooks on the student and objects that Python tracks.
"""

import argparse
import gc
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from benchmarks.lib.measure import live_bytes, machine, write_json
from sakd_dense.config.twins import ann_of
from sakd_dense.guards.run import guard_run
from tests.helpers.tasks import TASKS

KINDS = {"detector": "faster", "segmentor": "fcn", "two-stage": "mask"}


class Repeated(Dataset):
    """A data set that repeats one batch."""

    def __init__(self, batch: dict[str, Any], length: int) -> None:
        self.batch, self.length = batch, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.batch


def batch_of(loader_gave: list[dict[str, Any]]) -> dict[str, Any]:
    return loader_gave[0]


class Watch(Hook):
    """A hook that reads what the process holds."""

    priority = "LOWEST"

    def __init__(self, every: int) -> None:
        self.every = every
        self.readings: list[dict[str, Any]] = []

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if (runner.iter + 1) % self.every == 0:
            self.readings.append({"iteration": runner.iter + 1, **held(runner.model)})


def held(model: torch.nn.Module) -> dict[str, Any]:
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return dict(
        tensor_bytes=live_bytes(),
        resident_mib=round(resident / 2**20, 1),
        open_files=len(os.listdir("/proc/self/fd")),
        threads=threading.active_count(),
        hooks=sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds),
        objects=len(gc.get_objects()),
    )


def config(kind: str, iterations: int, folder: Path) -> Config:
    name = KINDS[kind]
    if kind == "detector":
        from tests.helpers.scenes import retinanet

        model = retinanet(time_steps=2)
    else:
        model = TASKS[name].config(time_steps=2)
    scope = "mmseg" if kind == "segmentor" else "mmdet"
    init_default_scope(scope)
    teacher = MODELS.build(ann_of(model))
    teacher.init_weights()
    torch.save(dict(state_dict=teacher.state_dict()), folder / "teacher.pth")
    return Config(
        dict(
            model=model,
            default_scope=scope,
            work_dir=str(folder / "run"),
            train_cfg=dict(by_epoch=False, max_iters=iterations),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-4), clip_grad=dict(max_norm=1.0)),
            default_hooks=dict(
                logger=dict(type="LoggerHook", interval=10),
                checkpoint=dict(
                    type="CheckpointHook", by_epoch=False, interval=25, max_keep_ckpts=1
                ),
                firing_rate=dict(type="FiringRateHook", interval=10),
            ),
            custom_hooks=[
                dict(
                    type="SAKDHook",
                    teacher=dict(checkpoint=str(folder / "teacher.pth")),
                    prefixes="random",
                    calibrate=0,
                )
            ],
            randomness=dict(seed=0),
            log_level="ERROR",
        )
    )


def soak(kind: str, iterations: int, every: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as directory:
        cfg = config(kind, iterations, Path(directory))
        data = Repeated(TASKS[KINDS[kind]].batch(), iterations)
        if kind == "segmentor":
            data.metainfo = dict(classes=("a", "b", "c"), palette=[[0, 0, 0]] * 3)
        else:
            data.metainfo = dict(classes=("a", "b"))
        loader = DataLoader(data, batch_size=1, collate_fn=batch_of)
        cfg.train_dataloader = None
        options = {k: v for k, v in cfg.items() if k != "train_dataloader"}
        runner = Runner(**options, train_dataloader=loader, cfg=cfg)
        guard_run(runner)
        watch = Watch(every)
        runner.register_hook(watch)
        runner.train()
    return watch.readings


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Returns a Markdown table of the first, the middle and the last reading of each run."""
    names = [n for n in next(iter(rows.values()))[0] if n != "iteration"]
    lines = [f"| run | iteration | {' | '.join(n.replace('_', ' ') for n in names)} |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for kind, readings in rows.items():
        for reading in (readings[0], readings[len(readings) // 2], readings[-1]):
            cells = [str(reading[n]) for n in names]
            lines.append(f"| {kind} | {reading['iteration']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50, help="iterations between readings")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = {kind: soak(kind, args.iterations, args.every) for kind in args.kinds}
    print(f"\n{table(rows)}")
    if args.out:
        write_json(args.out, dict(machine=machine(), command=sys.argv, readings=rows))


if __name__ == "__main__":
    main()
