#!/usr/bin/env python
"""What level 2 adds to a training step, in time and memory, as ratios from one run.

  python benchmarks/step_cost.py                       # RetinaNet, SEW-ResNet-18, BCCD's shapes
  python benchmarks/step_cost.py --depth 50 --size 256 320 --batch-size 2

Noise images with three boxes each; forward, backward and optimizer step. The variants take turns,
so that a busy machine slows all of them; the median of the rounds is shown. Memory: the peak of a
process of its own for each variant, less what it held before the first step; and what lives after
iteration 5 and after the last.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from sakd_dense.amp import CPUAmpOptimWrapper
from sakd_dense.cli import load_config
from sakd_dense.convert import ann_of
from sakd_dense.distill import SAKDHook
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.distill.terms import Terms

#: What the hook is told; None: no hook at all.
VARIANTS: dict[str, dict[str, Any] | None] = {
    "SNN without teacher": None,
    "features": dict(responses=None, prefixes=None),
    "features, responses": dict(prefixes=None),
    "features, responses, one random prefix": dict(prefixes="random"),
}


def batch(model: nn.Module, size: tuple[int, int], count: int) -> dict[str, Any]:
    """Noise and boxes, preprocessed: every variant gets the same."""
    make = torch.Generator().manual_seed(0)
    h, w = size
    inputs, samples = [], []
    for _ in range(count):
        inputs.append(torch.randint(0, 256, (3, h, w), generator=make, dtype=torch.uint8))
        corner = torch.rand(3, 2, generator=make) * torch.tensor([w / 2, h / 2])
        sample = DetDataSample(
            metainfo=dict(ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + min(size) / 3], 1), labels=torch.zeros(3).long()
        )
        samples.append(sample)
    return model.data_preprocessor(dict(inputs=inputs, data_samples=samples), True)


def stepper(args: argparse.Namespace, variant: str) -> Callable[[], None]:
    """A function that does one training step of ``variant``."""
    torch.manual_seed(0)
    init_default_scope("mmdet")
    cfg = load_config(args.config)
    cfg.model.backbone.time_steps = args.time_steps
    if args.depth != cfg.model.backbone.depth:
        cfg.model.backbone.depth = args.depth
        wide = 4 if args.depth >= 50 else 1
        cfg.model.neck.in_channels = [64 * wide * 2**i for i in range(4)]
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    kind = CPUAmpOptimWrapper if args.amp else OptimWrapper
    optimizer = kind(torch.optim.AdamW(model.parameters(), lr=1e-4))
    options = VARIANTS[variant]
    hook = None
    if options is not None:
        with tempfile.NamedTemporaryFile(suffix=".pth") as file:
            teacher = MODELS.build(ann_of(cfg.model))
            torch.save(teacher.state_dict(), file.name)
            hook = SAKDHook(dict(checkpoint=file.name), **options)
            hook.teacher = build_teacher(ann_of(cfg.model), file.name, model)
        response = None if hook.responses is None else find_response(model, **hook.responses)
        hook._terms = Terms(
            model, hook.teacher, hook.features, response, hook.prefix_weight, "teacher"
        )
        model.register_forward_hook(hook._add_terms, with_kwargs=True)
    data = batch(model, tuple(args.size), args.batch_size)

    def step() -> None:
        with optimizer.optim_context(model):
            losses = model(**data, mode="loss")
        loss, _ = model.parse_losses(losses)
        optimizer.update_params(loss)
        if hook is not None:
            hook._terms.clear()
            hook._iter += 1

    return step


def live_bytes() -> int:
    """Bytes of every tensor that Python can reach."""
    gc.collect()
    found = {t.data_ptr(): t.nbytes for t in gc.get_objects() if type(t) is torch.Tensor}
    return sum(found.values())


def peak_mib() -> float:
    """The most this process has held, in MiB (Linux; getrusage would count its parent's too)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def memory(args: argparse.Namespace, variant: str) -> dict[str, float]:
    """In this process: MiB of the peak above the start, and what lives after 5 and after all."""
    step = stepper(args, variant)
    before = peak_mib()
    live = []
    for _ in range(args.iterations):
        step()
        live.append(live_bytes() / 2**20)
    return dict(peak=peak_mib() - before, live_5=live[4], live_last=live[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/retinanet_sew18_sakd_bccd.py")
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--size", type=int, nargs=2, default=[144, 192], metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--time-steps", type=int, default=4)
    parser.add_argument("--amp", action="store_true", help="bfloat16, as the runs on BCCD")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=50, help="for the memory (at least 5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print(json.dumps(memory(args, args.memory_of)))
        return
    steps = {variant: stepper(args, variant) for variant in VARIANTS}
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for turn in range(args.rounds + 1):
        for variant, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:  # the first round warms up
                times[variant].append(time.perf_counter() - start)
    del steps
    found = {}
    for variant in VARIANTS:
        command = [sys.executable, *sys.argv, "--memory-of", variant]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[variant] = json.loads(out.splitlines()[-1])
    base = list(VARIANTS)[0]
    print(
        f"\ntorch {torch.__version__}, {args.threads} threads, depth {args.depth}, T = "
        f"{args.time_steps}, batch {args.batch_size}, {args.size}, amp {args.amp}, "
        f"{args.rounds} rounds\n"
    )
    print("| variant | s a step | ratio | peak MiB | ratio | live MiB after 5 | after the last |")
    print("|---" * 7 + "|")
    for variant in VARIANTS:
        # A ratio a round, so that a slow round does not count for one variant alone.
        ratios = [a / b for a, b in zip(times[variant], times[base], strict=True)]
        m = found[variant]
        print(
            f"| {variant} | {statistics.median(times[variant]):.3f} | "
            f"{statistics.median(ratios):.2f} | {m['peak']:.0f} | "
            f"{m['peak'] / max(found[base]['peak'], 1):.2f} | {m['live_5']:.1f} | "
            f"{m['live_last']:.1f} |"
        )


if __name__ == "__main__":
    main()
