#!/usr/bin/env python
"""Time of a training iteration of each arm, as a ratio to the first arm.

  python -m benchmarks.accuracy.arm_cost cifar10-small sakd counts-1x4
  python -m benchmarks.accuracy.arm_cost bccd sakd counts-1x4 --rounds 5

The ratio gives the number of epochs that take the same time. Each arm trains for some iterations as
in `benchmarks/accuracy/runs.py`, including data loading. The arms take turns, and the ratio is the
median of the rounds' ratios. Validation and checkpoints are not timed. The runs of the teacher are
required (`accuracy.py TRACK train teacher`).
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from benchmarks.accuracy.arms import ARMS
from benchmarks.accuracy.runs import RESULTS, config
from benchmarks.accuracy.tracks import TRACKS
from benchmarks.lib.measure import machine, prepare, ratio, write_json
from sakd_dense.neurons import compile_neurons


class _EnoughError(Exception):
    """Ends a training after the timed iterations."""


class _Clock(Hook):
    """A hook that measures the seconds of the iterations after the first ``warmup``."""

    priority = "LOWEST"

    def __init__(self, warmup: int, iterations: int) -> None:
        self.warmup, self.iterations, self.seconds = warmup, iterations, 0.0
        self._done, self._start = 0, 0.0

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self._done += 1
        if self._done == self.warmup:
            self._start = time.perf_counter()
        if self._done == self.warmup + self.iterations:
            self.seconds = time.perf_counter() - self._start
            raise _EnoughError


def seconds(track: str, arm: str, warmup: int, iterations: int) -> float:
    """Returns the seconds per iteration of ``arm``, seed 0."""
    cfg = config(track, arm, 0)
    clock = _Clock(warmup, iterations)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir, cfg.log_level = folder, "WARNING"
        cfg.visualizer.name = str(Path(folder).name)
        runner = Runner.from_cfg(cfg)
        runner.register_hook(clock)
        compile_neurons(runner.model)  # in the warm-up, as in a long run
        try:
            runner.train()
        except _EnoughError:
            return clock.seconds / iterations
    raise SystemExit(f"{arm} trains fewer than {warmup + iterations} iterations")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("track", choices=TRACKS, help="data set and model")
    parser.add_argument("arms", nargs="+", choices=ARMS, metavar="arm", help="the first is 1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=6, help="iterations that are not timed")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    prepare()
    found: dict[str, list[float]] = {arm: [] for arm in args.arms}
    for turn in range(args.rounds):
        for arm in args.arms:
            found[arm].append(seconds(args.track, arm, args.warmup, args.iterations))
            print(f"round {turn + 1} of {args.rounds}: {arm}, {found[arm][-1]:.3f} s", flush=True)
    base = args.arms[0]
    result = dict(machine=machine(), seconds=found, rounds=args.rounds)
    result["ratios"] = {arm: ratio(found, arm, base) for arm in found}
    print(f"\n| arm | ms an iteration | of {base}'s |\n|---|---|---|")
    for arm, values in found.items():
        print(f"| {arm} | {1e3 * statistics.median(values):.0f} | {result['ratios'][arm]:.2f} |")
    out = RESULTS / args.track / "cost.json"
    write_json(out, result)
    print(f"\nkept in {out}")


if __name__ == "__main__":
    main()
