#!/usr/bin/env python
"""Cost of OpenMP's idle threads to a training step, by the length of their spin.

  python -m benchmarks.speed.openmp
  python -m benchmarks.speed.openmp --rounds 11 --threads 2 --out openmp.json

A thread that has nothing to do spins for a while before it sleeps. On idle cores this saves the
time to wake it up. On cores that others use as well, the spin takes time from the thread that the
others wait for. Each setting has a separate process. In every round all of them run a few steps one
after another, first on idle cores and then next to busy Python loops. Values are medians over
rounds, in ms per step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SETTINGS = {
    "default": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"GOMP_SPINCOUNT={n}": {"GOMP_SPINCOUNT": str(n)} for n in (0, 1000, 10000, 30000, 100000)},
}
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "KMP_BLOCKTIME")


def worker(steps: int) -> None:
    """Runs ``steps`` training steps for each line of input, and prints their median in ms."""
    import torch
    from torch import nn

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    torch.manual_seed(0)
    layers = [*block(3, 32, 1), *block(32, 32, 1), *block(32, 64, 2), *block(64, 64, 1)]
    model = nn.Sequential(*layers, *block(64, 128, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images = torch.randn(8, 3, 64, 64)

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
        return 1000 * (time.perf_counter() - start)

    step()
    for _ in sys.stdin:
        print(statistics.median(step() for _ in range(steps)), flush=True)


# Ends automatically if this process is killed.
LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Runs ``processes`` busy Python loops next to the block."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measure(args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Returns milliseconds per step by setting and load, one number for each round."""
    plain = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    command = [sys.executable, "-m", __spec__.name, "--steps", str(args.steps), "--worker"]
    workers = {
        name: subprocess.Popen(
            command,
            env={**plain, "OMP_NUM_THREADS": str(args.threads), **setting},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, setting in SETTINGS.items()
    }

    def ask(name: str) -> float:
        process = workers[name]
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    times: dict[str, dict[str, list[float]]] = {name: {} for name in workers}
    for turn in range(args.rounds + 1):  # the first one warms up
        for load, loops in (("idle", 0), ("busy", args.busy)):
            with busy(loops):
                for name in workers:
                    value = ask(name)
                    if turn:
                        times[name].setdefault(load, []).append(value)
        print(f"\rround {turn} of {args.rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for process in workers.values():
        process.communicate()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="of OpenMP (default: 2)")
    parser.add_argument("--busy", type=int, default=2, help="loops beside it (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="(default: 7)")
    parser.add_argument("--steps", type=int, default=5, help="a round and setting (default: 5)")
    parser.add_argument("--out", metavar="JSON", help="write every number")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.steps)
        return
    print(f"load of this machine before the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()}")
    times = measure(args)
    print(f"{'ms a step, median (lowest, highest)':34}  {'idle cores':>22}  {args.busy} busy loops")
    for name, by_load in times.items():
        cells = [
            f"{statistics.median(ms):7.1f} ({min(ms):.0f}, {max(ms):.0f})"
            for ms in (by_load["idle"], by_load["busy"])
        ]
        print(f"{name:34}  {cells[0]:>22}  {cells[1]:>22}")
    if args.out:
        with open(args.out, "w") as file:
            json.dump(times, file, indent=2)


if __name__ == "__main__":
    main()
