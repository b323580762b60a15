#!/usr/bin/env python
"""Speed of the first iterations of a run relative to later ones, in a first and a second run.

  python -m benchmarks.speed.startup                       # SEW-R50, T = 4, B = 2, 128x128
  python -m benchmarks.speed.startup --counts 4 --work training

Every run is a separate process. The first run finds PyTorch's cache empty (in a temporary folder),
and the second finds what the first has left there. For each run the script shows the longest
iteration, which compiles; the iteration from which the run keeps at least 0.95 of the steady speed
(the median of the last twenty); the share of the steady speed at the 20th to 39th; and the total
seconds beyond the steady ones.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch

from benchmarks.lib.measure import machine, prepare, write_json
from benchmarks.speed.backbone import inference, training
from sakd_dense.backbones import SEWResNet, SpikingResNet
from sakd_dense.neurons import compile_neurons

WORK = {"inference": inference, "training": training}


def iterations(args: argparse.Namespace, work: str) -> list[float]:
    """Returns the seconds of each iteration. Runs in a fresh process."""
    torch.manual_seed(0)
    if args.counts:
        neuron = dict(type="NILIFNode", D=args.counts)
        model = SpikingResNet(args.depth, time_steps=1, neuron=neuron)
    else:
        model = SEWResNet(args.depth, time_steps=args.time_steps)
    model.init_weights()
    step = WORK[work](model, torch.randn(args.batch_size, 3, *args.size))
    compile_neurons(model, args.compiled)
    seconds = []
    for _ in range(args.iterations):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    steady = statistics.median(seconds[-20:])
    # Medians of five, so that one slow iteration of a busy machine does not count.
    windows = [statistics.median(seconds[i : i + 5]) for i in range(len(seconds) - 4)]
    slow = [i for i, found in enumerate(windows) if found > steady / 0.95]
    return {
        "steady, ms": 1e3 * steady,
        "longest, s": max(seconds),
        "steady from iteration": max(slow) + 2 if slow else 1,
        "speed at 20-39": steady / statistics.median(seconds[19:39]),
        "beyond steady, s": sum(seconds) - steady * len(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--time-steps", type=int, default=4)
    parser.add_argument("--counts", type=int, default=0, help="D: counts at T = 1; 0: binary")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 128))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=250, help="of a run")
    parser.add_argument("--compiled", action="store_true", help="compile the neurons")
    parser.add_argument("--work", choices=WORK, nargs="+", default=list(WORK))
    parser.add_argument("--out", help="JSON")
    parser.add_argument("--child", choices=WORK, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    prepare()
    if args.child:
        print(json.dumps(iterations(args, args.child)))
        return
    found: dict[str, Any] = {}
    for work in args.work:
        with tempfile.TemporaryDirectory() as cache:
            for run in ("first", "second"):
                command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--child", work]
                env = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
                out = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env).stdout
                found[f"{work}, {run} run"] = summary(json.loads(out.splitlines()[-1]))
    names = list(next(iter(found.values())))
    print("| run | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for run, values in found.items():
        print(f"| {run} | " + " | ".join(f"{values[n]:.4g}" for n in names) + " |")
    if args.out:
        write_json(args.out, dict(machine=machine(), runs=found, **vars(args)))


if __name__ == "__main__":
    main()
