#!/usr/bin/env python
"""Images per second of two processes of a CPU (gloo) against one, with the same total batch.

  python -m benchmarks.speed.distributed
  python -m benchmarks.speed.distributed --config configs/fcn_sew18_sakd_digits.py --batch-size 16

Each side trains one epoch without a teacher, with the command that a user would give
(tools/train.py, tools/dist_train.sh). One process uses every core and the complete batch; two
processes use half of both. The sides take turns. The time of a run is the median of its iterations,
as MMEngine logs them, so compilation and start-up do not count.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.lib.measure import machine, write_json

TOOLS = Path(__file__).parents[2] / "tools"
ONE, TWO = "one process", "two processes"


def command(side: str, args: argparse.Namespace, work_dir: Path) -> list[str]:
    per_process = args.batch_size // (1 if side == ONE else 2)
    start = [sys.executable, str(TOOLS / "train.py"), args.config]
    if side == TWO:
        start = [str(TOOLS / "dist_train.sh"), args.config, "2"]
    return [
        *start,
        "--work-dir",
        str(work_dir),
        "--cfg-options",
        "train_cfg.max_epochs=1",
        "train_cfg.val_interval=2",
        "default_hooks.logger.interval=1",
        "custom_hooks=[]",
        f"train_dataloader.batch_size={per_process}",
    ]


def seconds_an_iteration(side: str, args: argparse.Namespace) -> float:
    """Returns the median seconds per iteration of one run."""
    threads = max(args.threads // (1 if side == ONE else 2), 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PORT": port, "PYTHON": sys.executable}
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            command(side, args, Path(directory)),
            env={**env, "VIRTUAL_ENV": sys.prefix},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{side} failed:\n{done.stderr[-4000:]}")
        (log,) = Path(directory).rglob("scalars.json")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    times = [line["time"] for line in lines if "loss" in line]
    return statistics.median(times)


def compare(args: argparse.Namespace) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {ONE: [], TWO: []}
    for turn in range(args.rounds):
        for side, found in seconds.items():
            found.append(seconds_an_iteration(side, args))
            print(f"round {turn + 1}, {side}: {1000 * found[-1]:.0f} ms", flush=True)
    return dict(vars(args), machine=machine(), seconds=seconds)


def table(result: dict[str, Any]) -> str:
    lines = ["| batch | processes | ms an iteration | images a second | ratio |", "|---" * 5 + "|"]
    seconds = result["seconds"]
    for side in (ONE, TWO):
        batch, middle = result["batch_size"], statistics.median(seconds[side])
        ratio = statistics.median(a / b for a, b in zip(seconds[ONE], seconds[side], strict=True))
        what = f"| {batch} | {side} | {1000 * middle:.0f} "
        lines.append(what + f"| {batch / middle:.1f} | {ratio:.2f} |")
    return "\n".join(lines)


def parse_args(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/retinanet_sew18_sakd_digits.py")
    parser.add_argument("--batch-size", type=int, default=8, help="of all processes together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of all processes together")
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args(given)
    if args.batch_size % 2:
        parser.error(f"--batch-size {args.batch_size}: two processes share it; take an even number")
    return args


def main() -> None:
    args = parse_args()
    result = compare(args)
    print(f"\n{table(result)}")
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
