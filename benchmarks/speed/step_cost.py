#!/usr/bin/env python
"""Time and memory that level 2 adds to a training step, as ratios from one run.

  python -m benchmarks.speed.step_cost                       # RetinaNet, SEW-ResNet-18, BCCD
  python -m benchmarks.speed.step_cost --config configs/fcn_sew18_sakd_digits.py
  python -m benchmarks.speed.step_cost --config configs/retinanet_sew50_sakd_coco.py --size 256 320

The script repeats a forward, backward and optimizer step on the first batch of the config's own
training data, or, with --size, on mmdet's demo inputs (noise and some boxes). The variants take
turns, so that a busy machine slows all of them, and the table shows the median of the rounds.
Memory is measured in a separate process for each variant: the peak of a step above the memory that
the process holds between two steps, and the live memory after iteration 5 and after the last.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from benchmarks.lib.measure import (
    in_turns,
    live_bytes,
    machine,
    peak_mib,
    prepare,
    ratio,
    write_json,
)
from sakd_dense.config.models import with_preprocessor
from sakd_dense.config.scopes import load_config
from sakd_dense.config.twins import ann_of
from sakd_dense.distill import SAKDHook
from sakd_dense.distill.prefixes import read_at, sample_read_steps
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.distill.terms import Terms
from sakd_dense.distill.wrappers import on_loss
from sakd_dense.neurons import compile_neurons
from sakd_dense.runtime.amp import CPUAmpOptimWrapper

ANN, BASE = "ANN", "SNN without teacher"
#: Arguments of the hook; None: no hook at all.
VARIANTS: dict[str, dict[str, Any] | None] = {
    ANN: None,
    BASE: None,
    "features": dict(responses=None, prefixes=None),
    "features, responses": dict(prefixes=None),
    "the same, teacher in bfloat16": dict(prefixes=None, teacher=dict(dtype="bfloat16")),
    "features, responses, one random prefix": dict(prefixes="random"),
    "features, responses, images read early": dict(prefixes="image"),
    "images read early, teacher in bfloat16": dict(
        prefixes="image", teacher=dict(dtype="bfloat16")
    ),
}


def first_batch(args: argparse.Namespace, cfg: Config) -> Any:
    """Returns the first batch of the config's loader, or mmdet's demo inputs of ``--size``."""
    loader = cfg.train_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.batch_size = args.batch_size or loader.batch_size
    torch.manual_seed(0)
    if not args.size:
        return next(iter(Runner.build_dataloader(loader, seed=0)))
    from mmdet.testing import demo_mm_inputs

    shapes = [(3, *args.size)] * loader.batch_size
    return demo_mm_inputs(loader.batch_size, shapes, num_classes=cfg.model.bbox_head.num_classes)


def stepper(args: argparse.Namespace, variant: str) -> Callable[[], None]:
    """Returns a function that runs one training step of ``variant``."""
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.default_scope)
    batch = first_batch(args, cfg)
    model_cfg = ConfigDict(with_preprocessor(cfg))
    model_cfg.backbone.time_steps = args.time_steps
    model = MODELS.build(ann_of(model_cfg) if variant == ANN else model_cfg)
    model.init_weights()
    model.train()
    compile_neurons(model)  # in the first round
    data = model.data_preprocessor(batch, True)
    kind = CPUAmpOptimWrapper if args.amp else OptimWrapper
    optimizer = kind(torch.optim.AdamW(model.parameters(), lr=1e-4))
    options = VARIANTS[variant]
    hook = None
    if options is not None:
        with tempfile.NamedTemporaryFile(suffix=".pth") as file:
            teacher = MODELS.build(ann_of(model_cfg))
            torch.save(teacher.state_dict(), file.name)
            given = dict(options)
            hook = SAKDHook(dict(checkpoint=file.name, **given.pop("teacher", {})), **given)
            hook.teacher = build_teacher(ann_of(model_cfg), file.name, model)
        responses = hook.options.responses
        response = None if responses is None else find_response(model, **responses)
        hook._terms = Terms(model, hook.teacher, hook.options, response)
        on_loss(model, hook._add_terms)

    def step() -> None:
        reads = None
        if hook is not None and hook.options.prefixes == "image":
            reads = sample_read_steps(hook.options.prefix_share, 0, hook._iter)
        with optimizer.optim_context(model), read_at(model, reads) if reads else nullcontext():
            losses = model(**data, mode="loss")
        loss, _ = model.parse_losses(losses)
        optimizer.update_params(loss)
        if hook is not None:
            assert hook._terms is not None
            hook._terms.clear()
            hook._iter += 1

    return step


def memory(args: argparse.Namespace, variant: str) -> dict[str, float]:
    """Returns the MiB of a step's peak, and those that live after 5 steps and after all."""
    step = stepper(args, variant)
    live = []
    for _ in range(args.iterations):
        step()
        live.append(live_bytes() / 2**20)
    return dict(peak=peak_mib(step), live_5=live[:5][-1], live_last=live[-1])


def memory_elsewhere(given: list[str], variant: str) -> dict[str, float]:
    """Runs :func:`memory` in a separate process with the arguments ``given``."""
    command = [sys.executable, "-m", __spec__.name, *given, "--memory-of", variant]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Returns seconds and MiB of every variant, and both as ratios to ``BASE``."""
    torch.set_num_threads(args.threads)
    variants = [v for v in VARIANTS if v == BASE or not args.variants or v in args.variants]
    steps = {variant: stepper(args, variant) for variant in variants}
    times = in_turns(steps, args.rounds)
    del steps
    found: dict[str, dict[str, float]] = {}
    for variant in variants:
        found[variant] = memory_elsewhere(args.given, variant)
        found[variant]["seconds"] = statistics.median(times[variant])
        found[variant]["ratio"] = ratio(times, variant, BASE)
    for m in found.values():
        m["peak_ratio"] = m["peak"] / max(found[BASE]["peak"], 1)
    return dict(vars(args), machine=machine(), variants=found)


def table(result: dict[str, Any]) -> str:
    """Returns a Markdown table."""
    lines = [
        "| variant | s a step | ratio | peak MiB | ratio | live MiB after 5 | after the last |"
    ]
    lines.append("|---" * 7 + "|")
    lines += [
        f"| {variant} | {m['seconds']:.3f} | {m['ratio']:.2f} | {m['peak']:.0f} | "
        f"{m['peak_ratio']:.2f} | {m['live_5']:.1f} | {m['live_last']:.1f} |"
        for variant, m in result["variants"].items()
    ]
    return "\n".join(lines)


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/retinanet_sew18_sakd_bccd.py")
    parser.add_argument("--batch-size", type=int, help="default: the config's")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="of noise for a one-stage detector"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help="key=value ...")
    parser.add_argument("--time-steps", type=int, default=4)
    parser.add_argument("--amp", action="store_true", help="bfloat16, as the runs on BCCD")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, metavar="NAME", help="default: all"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, default=50, help="for the memory")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="JSON")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.given = argv
    return args


def main() -> None:
    args = parse_args(sys.argv[1:])
    prepare()
    if args.memory_of:
        torch.set_num_threads(args.threads)
        print(json.dumps(memory(args, args.memory_of)))
        return
    result = compare(args)
    print(
        f"\ntorch {torch.__version__}, {args.threads} threads, {args.config}, T = "
        f"{args.time_steps}, amp {args.amp}, {args.rounds} rounds\n\n{table(result)}"
    )
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
