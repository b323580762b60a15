#!/usr/bin/env python
"""Trains and tests the arms of benchmarks/notebook, seed by seed.

  python -m benchmarks.accuracy.runs bccd train teacher --seed 0  # the best on val is kept
  python -m benchmarks.accuracy.runs bccd train sakd --seed 0     # taught by that teacher
  python -m benchmarks.accuracy.runs bccd list                    # the arms
  python -m benchmarks.accuracy.runs bccd table                   # tests what is new, keeps it
  python -m benchmarks.accuracy.runs bccd publish sakd --seed 0   # trains, tests, writes a slim file

All students have the same epochs, schedule and batches. The students of a seed share its teacher.
Make choices on `val` (table --split val). `table` reads `test` once, at T = 1, 2, 4, 8 from one
pass, and keeps the results in benchmarks/results, so that it needs no runs afterwards. On a CPU,
training runs in bfloat16 (--amp) on one thread, so that two runs share two cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from benchmarks.accuracy.arms import ARMS, LIF
from benchmarks.accuracy.tracks import TRACKS
from sakd_dense.config.teacher import sakd_hook
from sakd_dense.config.types import ANN_TYPES, ann_type, spiking_part_cfgs
from sakd_dense.export import publish
from sakd_dense.runtime.amp import with_amp
from sakd_dense.timesteps import SweepResult, sweep

# Relative to the folder of the checkout, like data/.
RUNS = Path("work_dirs")
RESULTS = Path("benchmarks/results")
STEPS = (1, 2, 4, 8)


def folder(track: str, arm: str, seed: int) -> Path:
    return RUNS / track / arm / f"seed{seed}"


def checkpoint(track: str, arm: str, seed: int) -> Path | None:
    """Returns the checkpoint that counts: the teacher's best on val, a student's last; or None."""
    epochs = config_of(track, arm).train_cfg.max_epochs
    last = folder(track, arm, seed) / f"epoch_{epochs}.pth"
    if not last.is_file():
        return None
    return next(last.parent.glob("best_*.pth")) if arm == "teacher" else last


def trained(track: str, arm: str, seed: int) -> str:
    """Returns the checkpoint that another arm starts from."""
    if arm == "teacher":
        track = TRACKS[track].taught_by or track
    file = checkpoint(track, arm, seed)
    if file is None:
        raise SystemExit(
            f"first: python -m benchmarks.accuracy.runs {track} train {arm} --seed {seed}"
        )
    return str(file)


def config_of(track: str, arm: str) -> Config:
    """Returns the shipped config with the epochs of the arm."""
    files, args = TRACKS[track], ARMS[arm]
    cfg = Config.fromfile(files.teacher if arm == "teacher" else files.student)
    if arm != "teacher":
        epochs = args.get("epochs", cfg.train_cfg.max_epochs)
        cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
        cfg.param_scheduler[1].update(T_max=epochs, end=epochs)
        # The last checkpoint counts, and an interrupted run resumes from it.
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
        cfg.default_hooks.checkpoint.pop("save_best", None)
    return cfg


def config(track: str, arm: str, seed: int) -> Config:
    """Returns the shipped config with the settings of the arm."""
    args = ARMS[arm]
    cfg = config_of(track, arm)
    cfg.work_dir = str(folder(track, arm, seed))
    cfg.randomness = dict(seed=seed)
    # MMEngine keeps visualizers by name, so each run needs its own to log into its own folder.
    cfg.visualizer.name = f"{track}-{arm}-{seed}"
    cfg.optim_wrapper = with_amp(cfg.optim_wrapper)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].update(num_workers=0, persistent_workers=False)
    if arm == "teacher":
        cfg.default_hooks.checkpoint.update(save_best=TRACKS[track].metric)
        return cfg
    shipped = sakd_hook(cfg).get("teacher") or {}
    cfg.custom_hooks = []
    if "hook" in args:
        teacher = dict(shipped, checkpoint=trained(track, "teacher", seed))
        cfg.custom_hooks = [dict(type="SAKDHook", teacher=teacher, **args["hook"])]
    elif "level1" in args:
        source = trained(track, "teacher", seed)
        cfg.model.init_cfg = dict(type="SAKDTransfer", checkpoint=source)
    cfg.custom_hooks += args.get("hooks", [])
    if "load" in args:
        cfg.load_from = trained(track, args["load"], seed)
    if "start" in args:
        source = trained(args["start"], "sakd", seed)
        start = dict(type="Pretrained", checkpoint=source, prefix="backbone.")
        cfg.model.backbone.init_cfg = start
    backbone = dict(args.get("backbone", {}))
    if ann_type(cfg.model.backbone.type) not in ANN_TYPES:
        backbone.pop("type", None)  # the arms name families of ResNets
    # Not the default, so that a new default leaves the arms as they were measured.
    backbone.setdefault("neuron", cfg.model.backbone.get("neuron", LIF))
    cfg.model.backbone.update(backbone)
    for part in spiking_part_cfgs(cfg.model):
        part["neuron"] = backbone["neuron"]
    if "batch_size" in args:
        cfg.train_dataloader.batch_size = args["batch_size"]
    if "optimizer" in args:
        cfg.optim_wrapper.optimizer = dict(args["optimizer"])
    if "lr" in args:
        cfg.optim_wrapper.optimizer.lr = args["lr"]
    if "images" in args:
        TRACKS[track].take(cfg, args["images"])
    return cfg


def swept(
    track: str, arm: str, seed: int, split: str, time_steps: Sequence[int] = STEPS
) -> dict[str, Any] | None:
    """Tests a run on ``split`` at ``time_steps``, and at every D if its arm names several.

    The result is kept, for `test` in benchmarks/results. Returns None if there is no run.
    """
    file = checkpoint(track, arm, seed)
    out = RESULTS / track / f"{arm}-seed{seed}.json"
    if split != "test":
        out = folder(track, arm, seed) / f"{split}.json"
    if not out.is_file() and file is not None:
        cfg = config(track, arm, seed)
        TRACKS[track].read(cfg, split)
        cfg.work_dir, cfg.log_level = str(RUNS / track / "sweeps"), "WARNING"
        steps = None if arm == "teacher" else time_steps
        counts = ARMS[arm].get("read_counts")
        sweep(cfg, str(file), steps, timed_batches=0, counts=counts).to_json(out)
    return json.loads(out.read_text()) if out.is_file() else None


def train(track: str, arm: str, seed: int) -> None:
    """Trains a run; for an arm with level 1 only, runs tools/transfer.py as a user would."""
    cfg = config(track, arm, seed)
    if "untrained" not in ARMS[arm]:
        # MMEngine would resume from `load_from`, which is the start of a run.
        cfg.resume = (folder(track, arm, seed) / "last_checkpoint").is_file()
        cfg.load_from = None if cfg.resume else cfg.get("load_from")
        Runner.from_cfg(cfg).train()
        return
    home = folder(track, arm, seed)
    home.mkdir(parents=True, exist_ok=True)
    cfg.custom_hooks = []
    cfg.dump(home / "config.py")
    arguments = [trained(track, "teacher", seed), "--to", str(home / "config.py")]
    arguments += ["--out", str(home / "epoch_0.pth"), "--seed", str(seed), *ARMS[arm]["untrained"]]
    subprocess.run([sys.executable, "tools/transfer.py", *arguments], check=True)


def needed(track: str, arm: str) -> list[tuple[str, str]]:
    """Returns the runs that a run of ``arm`` starts from or learns from, in order, and itself."""
    before = []
    if "load" in ARMS[arm]:
        before += needed(track, ARMS[arm]["load"])
    elif {"hook", "level1", "untrained"} & ARMS[arm].keys():
        before.append((TRACKS[track].taught_by or track, "teacher"))
    if "start" in ARMS[arm]:
        before += needed(ARMS[arm]["start"], "sakd")
    return [*before, (track, arm)]


def published(track: str, arm: str, seed: int) -> Path:
    """Trains what is missing, tests it once, and writes the student and its record."""
    for where, what in needed(track, arm):
        if checkpoint(where, what, seed) is None:
            train(where, what, seed)
    swept(track, arm, seed, "test")
    metrics = SweepResult.from_json(RESULTS / track / f"{arm}-seed{seed}.json")
    out = RUNS / "published" / f"{track}_{arm}-seed{seed}.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    return publish(trained(track, arm, seed), out, config(track, arm, seed), metrics.labelled())


def cell(values: list[float], digits: int) -> str:
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def table(
    track: str, arms: list[str], seeds: list[int], split: str, time_steps: Sequence[int]
) -> str:
    """Returns a Markdown table of the metric by T and the firing rate.

    The metric is the mean ± standard deviation over seeds.
    """
    metric, digits = TRACKS[track].metric, TRACKS[track].digits
    lines = ["| arm | seeds | " + " | ".join(f"T = {t}" for t in STEPS) + " | firing rate |"]
    lines.append("|---" * (len(STEPS) + 3) + "|")
    for arm in arms:
        runs = [
            r for r in (swept(track, arm, s, split, time_steps) for s in seeds) if r is not None
        ]
        if not runs:
            continue
        rows = [row for run in runs for row in run["rows"]]
        for count in ARMS[arm].get("read_counts", [None]):
            label = arm if count is None else f"{arm}, D = {count}"
            found = [r for r in rows if r.get("D") == count]
            cells = readings(found, metric, digits)
            lines.append(f"| {label} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def readings(rows: list[dict[str, Any]], metric: str, digits: int) -> list[str]:
    """Returns the metric by T and the firing rate at T = 4, over the runs of these rows."""
    by_t: dict[Any, list[float]] = {}
    rates = []
    for row in rows:
        values = {**row, **row["metrics"]}
        by_t.setdefault(row["T"], []).append(values[metric])
        if row["T"] == 4:
            rates.append(values["firing_rate"])
    columns = by_t if None in by_t else STEPS
    cells = [cell(by_t[t], digits) if t in by_t else "" for t in columns]
    cells += [""] * (len(STEPS) - len(cells))
    return [*cells, f"{statistics.mean(rates):.3f}" if rates else ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("track", choices=TRACKS, help="data set and model")
    parser.add_argument("what", choices=("train", "table", "publish", "list"))
    parser.add_argument("arms", nargs="*", help="default for table: all")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split", choices=("val", "test"), default="test", help="for table")
    parser.add_argument(
        "--time-steps", type=int, nargs="+", default=STEPS, help="for table: T of a new test"
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    unknown = sorted(set(args.arms) - set(ARMS))
    if unknown:
        parser.error(f"no arm {', '.join(unknown)}; there are {', '.join(ARMS)}")
    if args.what == "list":
        for name, differs in ARMS.items():
            print(f"{name:16s} {differs}")
        return
    torch.set_num_threads(args.threads)
    if args.what == "table":
        print(table(args.track, args.arms or list(ARMS), args.seed, args.split, args.time_steps))
        return
    if args.what == "publish":
        if not args.arms or "teacher" in args.arms:
            parser.error("publish: name the arms of the students to write")
        for arm in args.arms:
            for seed in args.seed:
                file = published(args.track, arm, seed)
                print(f"wrote {file} ({file.stat().st_size / 2**20:.1f} MiB)")
        return
    for arm in args.arms:
        for seed in args.seed:
            if checkpoint(args.track, arm, seed) is None:
                train(args.track, arm, seed)


if __name__ == "__main__":
    main()
