#!/usr/bin/env python
"""Time that a training step waits for its data, with the config's own loader.

  python -m benchmarks.speed.loading configs/retinanet_sew18_sakd_bccd.py configs/fcn_sew18_sakd_camvid.py
  python -m benchmarks.speed.loading configs/sew18_sakd_digits.py --amp --iterations 100

A step is a forward, backward and optimizer step of the student, without a teacher. The waiting time
is the time until the loader returns a batch. The first iterations, in which workers start, do not
count.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from benchmarks.lib.measure import machine, prepare, write_json
from sakd_dense.config.models import with_preprocessor
from sakd_dense.config.scopes import load_config
from sakd_dense.runtime.amp import CPUAmpOptimWrapper

UNCOUNTED = 5


def share(file: str, iterations: int, amp: bool) -> dict[str, Any]:
    """Returns the median seconds of a step and of its wait, and the wait's share of all time."""
    cfg = load_config(file)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(with_preprocessor(cfg))
    model.init_weights()
    model.train()
    kind = CPUAmpOptimWrapper if amp else OptimWrapper
    optimizer = kind(torch.optim.AdamW(model.parameters(), lr=1e-4))
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    waits, steps = [], []
    batches = iter(loader)
    for _ in range(iterations + UNCOUNTED):
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        loaded = time.perf_counter()
        model.train_step(batch, optimizer)
        waits.append(loaded - start)
        steps.append(time.perf_counter() - loaded)
    waits, steps = waits[UNCOUNTED:], steps[UNCOUNTED:]
    return dict(
        config=file,
        workers=cfg.train_dataloader.num_workers,
        batch_size=cfg.train_dataloader.batch_size,
        step=statistics.median(steps),
        wait=statistics.median(waits),
        share=sum(waits) / (sum(waits) + sum(steps)),
    )


def table(found: list[dict[str, Any]]) -> str:
    """Returns a Markdown table."""
    lines = ["| config | batch | workers | s a step | s waiting | share |", "|---" * 6 + "|"]
    lines += [
        f"| `{f['config']}` | {f['batch_size']} | {f['workers']} | {f['step']:.3f} | "
        f"{f['wait']:.4f} | {100 * f['share']:.1f} % |"
        for f in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--amp", action="store_true", help="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args()
    prepare()
    torch.set_num_threads(args.threads)
    found = [share(file, args.iterations, args.amp) for file in args.configs]
    print(f"\n{args.threads} threads, torch {torch.__version__}\n\n{table(found)}")
    if args.out:
        write_json(args.out, dict(machine=machine(), configs=found))


if __name__ == "__main__":
    main()
