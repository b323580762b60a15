#!/usr/bin/env python
"""What SAKD gives on BCCD, arm by arm, seed by seed; every number of docs/results.md.

  python benchmarks/bccd.py train teacher --seed 0     # 60 epochs, the best on val is kept
  python benchmarks/bccd.py train sakd --seed 0        # 12 epochs, taught by that teacher
  python benchmarks/bccd.py train --list               # the arms
  python benchmarks/bccd.py table                      # tests what is new, reads what is known

Every student has the same epochs, schedule and batches; a seed's students share its teacher.
Choices are made on `val` (table --split val). `table` reads `test` once, at T = 1, 2, 4, 8 from
one pass, and keeps what it finds in benchmarks/results: the table is there without the runs.
On a CPU, training runs in bfloat16 (--amp) on one thread, so that two runs share two cores.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from sakd_dense.amp import with_amp
from sakd_dense.timesteps import sweep

# As data/ and work_dirs/: from the checkout's folder.
RUNS = Path("work_dirs/bccd")
RESULTS = Path("benchmarks/results/bccd")
STEPS = (1, 2, 4, 8)

# The neurons that were compared; the shipped configs take DEFAULT_NEURON.
IF = dict(
    type="IFNode",
    v_threshold=1.0,
    v_reset=None,
    detach_reset=True,
    surrogate_function=dict(type="ATan", alpha=2.0),
)
# The same neuron, its potential at half the threshold at first: no bias towards silence at low T.
HALF = dict(
    type="HalfThresholdIFNode",
    detach_reset=True,
    surrogate_function=dict(type="ATan", alpha=2.0),
)
LIF = {**IF, "type": "LIFNode", "tau": 2.0, "decay_input": False}


def sakd(**hook: Any) -> dict[str, Any]:
    return dict(hook=dict(dict(prefixes=None), **hook))


def neuron(cfg: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return dict(level1=True, epochs=6, backbone=dict(neuron={**cfg, **changes}))


PKD = dict(type="FeaturePKD", weight=1.0)
MSE = dict(type="FeatureMSE", weight=1.0)
#: What differs between the arms. Without `hook` and `level1` a student starts from scratch.
ARMS: dict[str, dict[str, Any]] = {
    "teacher": {},
    "scratch": {},
    "level1": dict(level1=True),
    "level2": sakd(features=PKD, transfer=False),
    "both": sakd(features=PKD),
    "both-mse": sakd(features=MSE),
    "both-cwd": sakd(features=dict(type="FeatureCWD", weight=1.0)),
    "sakd": sakd(features=PKD, prefixes="random"),
    "sakd-mse": sakd(features=MSE, prefixes="random"),
    "prefix-all": sakd(features=PKD, prefixes="all"),
    "prefix-w2": sakd(features=PKD, prefixes="random", prefix_weight=2.0),
    "prefix-w4": sakd(features=PKD, prefixes="random", prefix_weight=4.0),
    "prefix-1": sakd(features=PKD, prefixes=1),
    "prefix-1-labels": sakd(features=PKD, prefixes=1, prefix_targets="labels"),
    "prefix-labels": sakd(features=PKD, prefixes="random", prefix_targets="labels"),
    # Short schedules and few labels, where level 2 has more to give.
    "level1-3ep": dict(level1=True, epochs=3),
    "sakd-3ep": dict(sakd(features=PKD, prefixes="random"), epochs=3),
    "level1-quarter": dict(level1=True, images=51),
    "sakd-quarter": dict(sakd(features=PKD, prefixes="random"), images=51),
    "level1-tenth": dict(level1=True, images=20),
    "sakd-tenth": dict(sakd(features=PKD, prefixes="random"), images=20),
    # The IF neuron on the main road, and neurons by level 1 alone.
    "scratch-if": dict(backbone=dict(neuron=IF)),
    "level1-if": dict(level1=True, backbone=dict(neuron=IF)),
    "sakd-if": dict(sakd(features=PKD, prefixes="random"), backbone=dict(neuron=IF)),
    "neuron-soft": neuron(IF),
    "neuron-hard": neuron(IF, v_reset=0.0),
    "neuron-attached": neuron(IF, detach_reset=False),
    "neuron-sigmoid": neuron(IF, surrogate_function=dict(type="Sigmoid", alpha=4.0)),
    "neuron-lif": neuron(LIF),
    "neuron-half": neuron(HALF),
    "level1-half": dict(level1=True, backbone=dict(neuron=HALF)),
    "sakd-half": dict(sakd(features=PKD, prefixes="random"), backbone=dict(neuron=HALF)),
}


def checkpoint(arm: str, seed: int) -> Path | None:
    """The checkpoint that counts: the teacher's best on val, a student's last."""
    folder = RUNS / arm / f"seed{seed}"
    pattern = "best_*.pth" if arm == "teacher" else "epoch_*.pth"
    found = sorted(folder.glob(pattern), key=lambda p: p.stat().st_mtime)
    done = arm != "teacher" or (folder / "epoch_60.pth").is_file()
    return found[-1] if found and done else None


def config(arm: str, seed: int) -> Config:
    """The shipped config with the arm's differences."""
    args = ARMS[arm]
    name = "retinanet_r18_bccd" if arm == "teacher" else "retinanet_sew18_sakd_bccd"
    cfg = Config.fromfile(f"configs/{name}.py")
    cfg.work_dir = str(RUNS / arm / f"seed{seed}")
    cfg.randomness = dict(seed=seed)
    cfg.optim_wrapper = with_amp(cfg.optim_wrapper)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].update(num_workers=0, persistent_workers=False)
    if arm == "teacher":
        return cfg
    cfg.custom_hooks = []
    teacher = None
    if "hook" in args or "level1" in args:
        teacher = checkpoint("teacher", seed)
        if teacher is None:
            raise SystemExit(f"first: python benchmarks/bccd.py train teacher --seed {seed}")
    if "hook" in args:
        hook = dict(type="SAKDHook", teacher=dict(checkpoint=str(teacher)), **args["hook"])
        cfg.custom_hooks = [hook]
    elif "level1" in args:
        cfg.model.init_cfg = dict(type="SAKDTransfer", checkpoint=str(teacher))
    cfg.model.backbone.update(args.get("backbone", {}))
    epochs = args.get("epochs", cfg.train_cfg.max_epochs)
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.param_scheduler[1].update(T_max=epochs, end=epochs)
    cfg.default_hooks.checkpoint.interval = epochs
    if "images" in args:
        cfg.train_dataloader.dataset.indices = args["images"]
    return cfg


def swept(arm: str, seed: int, split: str) -> dict[str, Any] | None:
    """What a run gives on ``split``, at every T; kept, for `test` in benchmarks/results."""
    file = checkpoint(arm, seed)
    out = RESULTS / f"{arm}-seed{seed}.json"
    if split != "test":
        out = RUNS / arm / f"seed{seed}" / f"{split}.json"
    if not out.is_file() and file is not None:
        cfg = config(arm, seed)
        cfg.test_dataloader.dataset.ann_file = f"ImageSets/Main/{split}.txt"
        cfg.work_dir, cfg.log_level = str(RUNS / "sweeps"), "WARNING"
        steps = None if arm == "teacher" else STEPS
        sweep(cfg, str(file), steps, timed_batches=0).to_json(out)
    return json.loads(out.read_text()) if out.is_file() else None


def cell(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def table(arms: list[str], seeds: list[int], split: str) -> str:
    """Markdown: mean ± standard deviation over seeds of mAP by T, and the firing rate."""
    lines = ["| arm | seeds | " + " | ".join(f"T = {t}" for t in STEPS) + " | firing rate |"]
    lines.append("|---" * (len(STEPS) + 3) + "|")
    for arm in arms:
        runs = [r for r in (swept(arm, s, split) for s in seeds) if r is not None]
        if not runs:
            continue
        by_t: dict[Any, list[float]] = {}
        rates = []
        for run in runs:
            for row in run["rows"]:
                by_t.setdefault(row["T"], []).append(row["metrics"]["coco/bbox_mAP"])
                if row["T"] == 4:
                    rates.append(row["firing_rate"])
        cells = [cell(by_t[None]), *[""] * 3] if None in by_t else [cell(by_t[t]) for t in STEPS]
        cells.append(f"{statistics.mean(rates):.3f}" if rates else "")
        lines.append(f"| {arm} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("arms", nargs="*", help="default for table: all")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split", choices=("val", "test"), default="test", help="for table")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="name the arms and what differs")
    args = parser.parse_args()
    unknown = sorted(set(args.arms) - set(ARMS))
    if unknown:
        parser.error(f"no arm {', '.join(unknown)}; there are {', '.join(ARMS)}")
    if args.list:
        for name, differs in ARMS.items():
            print(f"{name:16s} {differs}")
        return
    torch.set_num_threads(args.threads)
    if args.what == "table":
        print(table(args.arms or list(ARMS), args.seed, args.split))
        return
    for arm in args.arms:
        for seed in args.seed:
            if checkpoint(arm, seed) is None:
                Runner.from_cfg(config(arm, seed)).train()


if __name__ == "__main__":
    main()
