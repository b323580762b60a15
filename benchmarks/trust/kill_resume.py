#!/usr/bin/env python
"""Kills a run at random moments, resumes it, and compares it with one that was never stopped.

  python -m benchmarks.trust.kill_resume --tasks detector segmentor classifier --kills 20 \
      --out benchmarks/results/robust/kill_resume.json
  python -m benchmarks.trust.kill_resume --tasks detector --processes 2 --kills 20 --out ...

The runs are tools/train.py on a few of the generated digit scenes, with SAKD, random prefixes,
flips, an EMA, and a checkpoint and a validation every epoch. Each kill is SIGKILL, at a moment
drawn from the duration of the complete run, or (`--events`) exactly at a critical moment, such as
in the middle of a checkpoint's bytes. Then `--resume` runs to the end. The script compares bit by
bit the weights, EMA, optimizer, schedulers and random states of the last checkpoint, and the
weights of the best.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import torch
import train
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from benchmarks.lib.measure import machine, write_json
from benchmarks.trust import kill_events
from benchmarks.trust.kill_compare import EPOCHS, checkpoints_whole, differences, outcome
from sakd_dense.config.scopes import load_config
from sakd_dense.config.teacher import teacher_of
from sakd_dense.runtime.errors import UserError
from sakd_dense.runtime.files import replacing

CONFIGS = Path(__file__).parents[2] / "configs"
#: The shipped config of each task, its flip, and the settings that make it small.
TASKS = {
    "detector": (
        "retinanet_sew18_sakd_digits.py",
        "dict(type='RandomFlip', prob=0.5)",
        # After so few epochs a detector finds nothing above 0.05, and has no best checkpoint.
        "test_cfg=dict(score_thr=0.0), neck=dict(in_channels=[8, 16, 32, 64], out_channels=16), "
        "bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1)",
    ),
    "segmentor": (
        "fcn_sew18_sakd_digits.py",
        "dict(type='RandomFlip', prob=0.5)",
        "decode_head=dict(in_channels=64, channels=8), "
        "auxiliary_head=dict(in_channels=32, channels=8)",
    ),
    "classifier": (
        "sew18_sakd_digits.py",
        "dict(type='RandomFlip', prob=0.5)",
        "head=dict(in_channels=64)",
    ),
}
SMALL = """
_base_ = {base!r}
model = dict(backbone=dict(base_channels=8, time_steps=2{stem}), {parts})
train_dataloader = dict(batch_size={batch}, num_workers={workers}, persistent_workers={persistent})
custom_hooks = [
    dict(type='SAKDHook', teacher=dict(checkpoint={teacher!r}), calibrate=0),
    dict(type='EMAHook', momentum=0.1),
]
train_cfg = dict(max_epochs={epochs}, val_interval=1)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=1, max_keep_ckpts=1, save_best='auto'))
randomness = dict(seed=0)
log_level = 'WARNING'
"""


def make_config(task: str, folder: Path, processes: int, workers: int) -> Path:
    """Writes a small config of ``task`` with its data and teacher into ``folder``."""
    base, flip, parts = TASKS[task]
    values = dict(
        base=str(CONFIGS / base),
        stem="" if task == "detector" else ", stem_channels=8",
        parts=parts,
        batch=8 // processes,
        workers=workers,
        persistent=workers > 0,
        teacher=str(folder / "teacher.pth"),
        epochs=EPOCHS,
    )
    (folder / "base.py").write_text(SMALL.format(**values))
    cfg = load_config(str(folder / "base.py"))
    for split in ("train", "val", "test"):
        dataset = cfg[f"{split}_dataloader"].dataset
        dataset.data_root = str(folder / "data")
        if task == "classifier":
            dataset.indices = 32 if split == "train" else 16
        else:
            dataset.scenes = dict(counts=(32, 8, 8))
    cfg.train_dataloader.dataset.pipeline.insert(-1, Config(dict(x=eval(flip))).x)
    cfg.dump(folder / "config.py")
    init_default_scope(cfg.default_scope)
    model = MODELS.build(teacher_of(cfg))
    model.init_weights()
    with replacing(folder / "teacher.pth") as temporary:
        torch.save(dict(state_dict=model.state_dict()), temporary)
    return folder / "config.py"


class Runs:
    """Runs of one config in processes forked from this one, which has loaded everything."""

    def __init__(self, config: Path, processes: int) -> None:
        self.config, self.processes = config, processes

    def start(self, work_dir: Path, *arguments: str, event: str | None = None) -> list[int]:
        """Starts the processes of a run and returns their ids."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [
            _fork(
                partial(self._train, rank, port, work_dir, arguments, event),
                work_dir.with_suffix(f".{rank}.txt"),
            )
            for rank in range(self.processes)
        ]

    def _train(
        self, rank: int, port: int, work_dir: Path, arguments: Sequence[str], event: str | None
    ) -> None:
        if self.processes > 1:
            os.environ.update(
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(self.processes),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
            )
            arguments = [*arguments, "--launcher", "pytorch"]
        if event is not None:
            kill_events.arm(event)
        train.main([str(self.config), "--work-dir", str(work_dir), *arguments])

    def kill(self, work_dir: Path, moment: float | None, event: str | None, *more: str) -> str:
        """Starts a run and kills it ``moment`` seconds later, or lets ``event`` do so.

        Returns:
            'killed', or 'finished' if the run ended before.
        """
        processes = self.start(work_dir, *more, event=event)
        if moment is not None:
            time.sleep(moment)
            for process in processes:
                os.kill(process, signal.SIGKILL)
        else:  # kills the other processes as soon as one of them has died
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            for process in processes:
                os.kill(process, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in processes]
        return "finished" if not any(codes) else "killed"

    def finish(self, work_dir: Path, *arguments: str) -> None:
        """Starts a run and waits for its end."""
        codes = [
            os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in self.start(work_dir, *arguments)
        ]
        if any(codes):
            said = work_dir.with_suffix(".0.txt").read_text()
            raise RuntimeError(f"exit codes {codes}: {said[-3000:]}")


def _fork(run: Callable[[], Any], log: Path) -> int:
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        run()
        code = 0
    except SystemExit as error:
        print(error.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def try_task(task: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    draw = random.Random(f"{args.seed} {task} {args.processes}")
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        log = folder / "config.txt"
        process = _fork(lambda: make_config(task, folder, args.processes, args.workers), log)
        if os.waitpid(process, 0)[1]:
            raise RuntimeError(f"no config for {task}: {log.read_text()}")
        runs = Runs(folder / "config.py", args.processes)
        runs.finish(folder / "warm")  # generates the data
        start = time.monotonic()
        runs.finish(folder / "whole")
        duration = time.monotonic() - start
        wanted = outcome(folder / "whole")
        kills: list[str | None] = [*args.events, *[None] * args.kills]
        for number, event in enumerate(kills):
            work_dir = folder / f"run{number}"
            share = 0.0 if event else draw.random()
            moment = None if event else share * duration
            state = runs.kill(work_dir, moment, event)
            whole = checkpoints_whole(work_dir)
            done = (work_dir / "last_checkpoint").is_file()
            at = Path((work_dir / "last_checkpoint").read_text()).name if done else "none"
            left = len(list(work_dir.glob("_unfinished-*")))
            try:
                runs.finish(work_dir, "--resume")
                differs = differences(wanted, outcome(work_dir))
            except (RuntimeError, UserError) as error:
                differs = [f"not resumed: {str(error).strip().splitlines()[-1][:200]}"]
            stale = len(list(work_dir.glob("_unfinished-*")))
            when = event or f"{100 * share:.0f} % of the run"
            row = dict(task=task, processes=args.processes, when=when, state=state)
            row |= dict(checkpoint=at, whole=whole, half_written=left, left_over=stale)
            rows.append({**row, "differs": differs[:10]})
            print(rows[-1], flush=True)
            shutil.rmtree(work_dir)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table with a line for each task and number of processes."""
    lines = [
        "| task | processes | kills | before any checkpoint | half-written files | bit-equal |"
    ]
    lines.append("|---" * 6 + "|")
    for key in dict.fromkeys((r["task"], r["processes"]) for r in rows):
        mine = [r for r in rows if (r["task"], r["processes"]) == key and r["state"] == "killed"]
        first = sum(r["checkpoint"] == "none" for r in mine)
        half = sum(r["half_written"] for r in mine)
        equal = sum(not r["differs"] for r in mine)
        lines.append(f"| {key[0]} | {key[1]} | {len(mine)} | {first} | {half} | {equal} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--events", nargs="*", choices=kill_events.EVENTS, default=[])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="a control: MMEngine's hook, as it is")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.plain:
        train.guard_run = train.tidy = lambda _: None
    rows = [row for task in args.tasks for row in try_task(task, args)]
    print(f"\n{table(rows)}")
    if args.out:
        write_json(args.out, dict(machine=machine(), command=sys.argv, rows=rows))


if __name__ == "__main__":
    main()
