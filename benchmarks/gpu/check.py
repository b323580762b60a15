#!/usr/bin/env python
"""Checks a GPU against the CPU and measures its speed, in one command: `make gpu`.

  python -m benchmarks.gpu.check
  python -m benchmarks.gpu.check --only speed --size 512 512 --batch-size 4
  python -m benchmarks.gpu.check --device cpu --size 64 64 --rounds 1  # the script itself, without a GPU

The checks cover spikes and gradients of IF, LIF and counting neurons, with and without BatchNorm
and shortcut; a SAKD step of a detector, a segmentor and a classifier; every T from one pass; and
DDP with one process. They run in float32 and under autocast in float16 and bfloat16. Each check
compares a value with its limit.

The speed part runs a ResNet-50 of each kind side by side in one process. It measures images per
second and peak memory, in inference and in a training step (forward, backward; no optimizer).

The script writes gpu.json and gpu.md into --out, and exits with status 1 if a check failed.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmdet.models.backbones import ResNet
from torch import Tensor, nn

from benchmarks.gpu.neurons import DTYPES, Check, neurons
from benchmarks.gpu.steps import every_t, one_process_ddp, sakd_steps
from benchmarks.lib.measure import in_turns, machine, prepare, write_json
from benchmarks.speed.backbone import AT_REST, SpikingJelly
from sakd_dense.backbones import SEWResNet, SpikingResNet
from sakd_dense.runtime.files import replacing
from sakd_dense.transfer import reestimate

T, D, DEPTH = 4, 4, 50
TWIN, ONE, THEIRS = "ANN, T*B", "ANN, B", "SpikingJelly, T = 4"
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
CHECKS: dict[str, Callable[[str], Iterator[Check]]] = {
    "neurons": neurons,
    "steps": sakd_steps,
    "every-t": every_t,
    "ddp": one_process_ddp,
}
PARTS = [*CHECKS, "speed"]
OURS = {
    "SEW, T = 4": lambda backend: SEWResNet(
        DEPTH, time_steps=T, neuron={**AT_REST, "backend": backend}
    ),
    "Spiking, 1x4": lambda backend: SpikingResNet(
        DEPTH, time_steps=1, neuron=dict(type="NILIFNode", D=D, backend=backend)
    ),
}


def models(args: argparse.Namespace, layout: torch.memory_format) -> dict[str, tuple[Any, int]]:
    """Returns the model of every side, and how often it sees each image."""
    torch.manual_seed(0)
    sides: dict[str, tuple[Any, int]] = {}
    images = torch.randn(2, 3, 64, 64)
    for name, build in OURS.items():
        first = build("spikingjelly")
        first.init_weights()
        reestimate(first, [images], 1)
        for backend in ("spikingjelly", "compiled"):
            if backend == "spikingjelly" and layout is torch.channels_last:
                continue  # its kernels need contiguous sequences
            model = build(backend)
            model.load_state_dict(first.state_dict())
            sides[f"{name}, {backend}"] = model, 1
    if layout is torch.contiguous_format:
        sides[THEIRS] = SpikingJelly(DEPTH, T), 1
    twin = ResNet(DEPTH, norm_eval=False)
    sides |= {TWIN: (twin, T), ONE: (twin, 1)}
    return {
        name: (model.to(args.device).to(memory_format=layout), times)
        for name, (model, times) in sides.items()
    }


def work(
    model: nn.Module, x: Tensor, training: bool, cast: Callable[[], AbstractContextManager]
) -> Callable[[], None]:
    def infer() -> None:
        model.eval()
        with torch.no_grad(), cast():
            model(x)

    def train() -> None:
        model.train()
        model.zero_grad()
        with cast():
            total = sum(out.float().mean() for out in model(x))
        total.backward()

    return train if training else infer


def peak(run: Callable[[], None], device: str) -> float | None:
    """Returns the peak MiB of GPU memory above what was allocated before; None without a GPU."""
    if torch.device(device).type != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def speeds(args: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    kind = torch.device(args.device).type
    for layout_name in args.layouts:
        layout = LAYOUTS[layout_name]
        sides = models(args, layout)
        for dtype_name in args.dtypes:
            dtype = DTYPES[dtype_name]

            def cast(dtype: torch.dtype = dtype) -> AbstractContextManager:
                return nullcontext() if dtype is torch.float32 else torch.autocast(kind, dtype)

            for training in (False, True):
                turns = {}
                for name, (model, times) in sides.items():
                    x = torch.randn(args.batch_size * times, 3, *args.size, device=args.device)
                    x = x.contiguous(memory_format=layout)
                    turns[name] = work(model, x, training, cast)
                peaks = {}
                for name, run in turns.items():
                    start = time.perf_counter()
                    run()  # compiles
                    print(f"  {name}: first {time.perf_counter() - start:.1f} s", flush=True)
                    peaks[name] = peak(run, args.device)
                seconds = in_turns(turns, args.rounds)
                for name in turns:
                    median = statistics.median(seconds[name])
                    row = dict(
                        side=name,
                        layout=layout_name,
                        dtype=dtype_name,
                        work="training step" if training else "inference",
                        ms=1000 * median,
                        images_per_second=args.batch_size / median,
                        peak_mib=peaks[name],
                    )
                    found.append(row)
                    print(speed_row(row), flush=True)
    return found


SPEED_HEAD = "| work | dtype | layout | side | ms | images / s | peak, MiB |\n" + "|---" * 7 + "|"


def speed_row(row: dict[str, Any]) -> str:
    peak_mib = "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
    return (
        f"| {row['work']} | {row['dtype']} | {row['layout']} | {row['side']} | {row['ms']:.1f} | "
        f"{row['images_per_second']:.1f} | {peak_mib} |"
    )


CHECK_HEAD = "| check | dtype | values | worst | limit | failed |\n" + "|---" * 6 + "|"


def check_table(found: list[Check]) -> str:
    """Returns a table of the worst value of each kind, and every check that failed."""
    lines, kinds = [CHECK_HEAD], Counter((c.what, c.dtype, c.limit) for c in found)
    for (what, dtype, limit), number in kinds.items():
        same = [c for c in found if (c.what, c.dtype, c.limit) == (what, dtype, limit)]
        failed = sum(not c.passed for c in same)
        worst = max(c.value for c in same)
        lines.append(f"| {what} | {dtype} | {number} | {worst:.1e} | {limit:.0e} | {failed} |")
    lines += [
        f"\nFAILED: {c.subject}, {c.dtype}: {c.what} {c.value:.2e}, limit {c.limit:.0e}"
        for c in found
        if not c.passed
    ]
    return "\n".join(lines)


def checks(args: argparse.Namespace) -> list[Check]:
    # TensorFloat-32 keeps ten bits, so it is as far from float32 as float16 is.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found: list[Check] = []
    for part in (name for name in CHECKS if name in args.only):
        start = time.perf_counter()
        before = len(found)
        try:
            found += CHECKS[part](args.device)
        except Exception as error:  # the other parts still run
            print(f"{part}: {type(error).__name__}: {error}", file=sys.stderr)
            found.append(Check(f"{part}: {error}", "", "an error", float("inf"), 0.0))
        seconds = time.perf_counter() - start
        print(f"{part}: {len(found) - before} values, {seconds:.0f} s", flush=True)
    torch.backends.cudnn.allow_tf32 = True  # the default of PyTorch
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--size", type=int, nargs=2, default=[800, 1333], metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=2, metavar="B")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32", "float16"])
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/gpu"))
    args = parser.parse_args(argv)
    if torch.device(args.device).type == "cuda" and not torch.cuda.is_available():
        parser.error(
            "PyTorch sees no CUDA device here; --device cpu runs the script itself without one"
        )
    prepare()
    result: dict[str, Any] = dict(arguments=vars(args), machine=machine())
    told = [f"{result['machine']['device']}, torch {torch.__version__}"]
    failed = False
    if set(args.only) & set(CHECKS):
        found = checks(args)
        failed = not all(c.passed for c in found)
        result["checks"] = [vars(c) for c in found]
        told.append(check_table(found))
    if "speed" in args.only:
        result["speed"] = speeds(args)
        told.append("\n".join([SPEED_HEAD, *map(speed_row, result["speed"])]))
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "gpu.json", result)
    text = "\n\n".join(told) + "\n"
    with replacing(args.out / "gpu.md") as temporary:
        temporary.write_text(text)
    print(f"\n{text}\n{args.out}/gpu.md, {args.out}/gpu.json")
    sys.exit(failed)


if __name__ == "__main__":
    main()
