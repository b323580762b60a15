#!/usr/bin/env python
"""All measurements of speed and memory, side by side, with one command: `make bench`.

  python -m benchmarks.speed.bench
  python -m benchmarks.speed.bench --quick                  # ResNet-18, few rounds: does it run?
  python -m benchmarks.speed.bench --only peers steps       # some parts; the others stay as they are

The parts are `peers` (the backbone against SpikingJelly's and the ANN twin), `growth` (with T,
image size and batch), `steps` (a RetinaNet training step: ANN, SNN, SNN with SAKD), `memory` (its
peak on large images, for each option that saves memory), `evaluation` (four T from one pass against
four passes) and `loading` (the time that a step waits for data). The sides take turns in one
process, and a ratio is the median of the rounds' ratios. The script writes speed.json, speed.md and
speed.png into --out after every part.
"""

import argparse
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.lib.measure import machine, prepare, write_json
from benchmarks.speed import backbone, loading, step_cost, sweep
from benchmarks.speed.growth import measure_growth, plot_growth, table_of_growth
from sakd_dense.runtime.files import replacing

DIGITS = [
    f"configs/{name}.py"
    for name in ("retinanet_sew18_sakd_digits", "fcn_sew18_sakd_digits", "sew18_sakd_digits")
]
#: Configs of real data sets by the folder of their data; used if that exists.
REAL = {
    "data/bccd": "configs/retinanet_sew18_sakd_bccd.py",
    "data/camvid": "configs/fcn_sew18_sakd_camvid.py",
}
Part = Callable[[argparse.Namespace], tuple[str, Any]]


def peers(args: argparse.Namespace) -> tuple[str, Any]:
    works = [["--depth", "18", "--time-steps", "4"]]
    if not args.quick:
        works = [
            ["--depth", depth, "--time-steps", t] for depth in ("18", "50") for t in "1248"
        ] + [["--size", "512", "512", "--batch-size", "1"]]
    found = []
    for work in works:
        given = [*work, "--rounds", str(args.rounds), "--threads", str(args.threads)]
        found.append(backbone.compare(backbone.arguments().parse_args(given)))
        print(backbone.rows(found[-1]), flush=True)
    return "\n".join([backbone.HEADER, *map(backbone.rows, found)]), found


def growth(args: argparse.Namespace) -> tuple[str, Any]:
    found = measure_growth(args.rounds, args.threads, args.quick)
    return table_of_growth(found), found


def steps(args: argparse.Namespace) -> tuple[str, Any]:
    depth = "18" if args.quick else "50"
    given = ["--config", f"configs/retinanet_sew{depth}_sakd_coco.py", "--iterations", "5"]
    given += ["--size", *(("64", "64") if args.quick else ("256", "320")), "--batch-size", "2"]
    given += ["--rounds", str(args.rounds), "--threads", str(args.threads)]
    found = step_cost.compare(step_cost.parse_args(given))
    return step_cost.table(found), found


def evaluation(args: argparse.Namespace) -> tuple[str, Any]:
    depth = "18" if args.quick else "50"
    given = [f"configs/retinanet_sew{depth}_sakd_coco.py", "--batch-size", "1", "--batches", "2"]
    given += ["--size", *(("64", "64") if args.quick else ("256", "320"))]
    given += ["--rounds", str(max(args.rounds // 3, 2)), "--threads", str(args.threads)]
    found = sweep.compare(sweep.parse_args(given))
    return sweep.table(found), found


def memory(args: argparse.Namespace) -> tuple[str, Any]:
    size, depth = (("64", "64"), "18") if args.quick else (("800", "1344"), "50")
    config = f"configs/retinanet_sew{depth}_sakd_coco.py"
    options = {
        "plain": [],
        "with_cp": ["with_cp"],
    }
    lines = ["| size | backbone | peak GiB |", "|---" * 3 + "|"]
    found = []
    for name, given in options.items():
        told = ["--config", config, "--size", *size, "--batch-size", "2", "--iterations", "1"]
        told += ["--threads", str(args.threads)]
        if given:
            told += ["--cfg-options", *(f"model.backbone.{option}=True" for option in given)]
        try:
            peak = step_cost.memory_elsewhere(told, list(step_cost.VARIANTS)[-1])["peak"] / 1024
        except subprocess.CalledProcessError as error:
            if error.returncode != -signal.SIGKILL:
                raise
            peak = None  # the system killed it for lack of memory: a result, too
        found.append(dict(options=name, peak_gib=peak))
        shown = "more than this machine has" if peak is None else f"{peak:.2f}"
        lines.append(f"| {'x'.join(size)} | {name} | {shown} |")
        print(lines[-1], flush=True)
    return "\n".join(lines), found


def waiting(args: argparse.Namespace) -> tuple[str, Any]:
    configs = DIGITS + [config for data, config in REAL.items() if Path(data).is_dir()]
    found = [loading.share(c, 5 if args.quick else 40, amp=False) for c in configs]
    return loading.table(found), found


PARTS: dict[str, tuple[str, Part]] = {
    "peers": ("The backbone against SpikingJelly's and its ANN twin", peers),
    "growth": ("How cost grows: SEW-ResNet-18, and as a ratio to the twin at T*B", growth),
    "steps": ("A whole RetinaNet training step, B = 2", steps),
    "memory": ("Peak memory of a RetinaNet training step with SAKD, T = 4, B = 2", memory),
    "evaluation": ("Four T from one pass against four runs, RetinaNet, random weights", evaluation),
    "loading": ("How long a training step waits for its data", waiting),
}


def write(out: Path, found: dict[str, Any]) -> None:
    """Writes speed.json, speed.md and, once growth is measured, speed.png."""
    write_json(out / "speed.json", found)
    lines = ["# Speed and memory", "", "Written by `make bench`.", ""]
    for name, (title, _) in PARTS.items():
        if name in found:
            m = found[name]["machine"]
            lines += [f"## {title}", "", found[name]["table"], ""]
            lines += [
                f"{found[name]['date']}, {m['cpu']}, {found[name]['threads']} threads of "
                f"{m['cores']} cores, torch {torch.__version__}, {found[name]['rounds']} rounds, "
                f"{found[name]['seconds'] / 60:.0f} min.",
                "",
            ]
    if "growth" in found:
        lines += ["![growth](speed.png)", ""]
        with replacing(out / "speed.png") as temporary:
            plot_growth(found["growth"]["found"], temporary)
    with replacing(out / "speed.md") as temporary:
        temporary.write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, help="default: 9, or 2 with --quick")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/bench"), metavar="DIR")
    args = parser.parse_args()
    prepare()
    args.rounds = args.rounds or (2 if args.quick else 9)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    kept = args.out / "speed.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    for i, name in enumerate(args.only, 1):
        title, part = PARTS[name]
        print(f"\n[{i} of {len(args.only)}] {title}\n", flush=True)
        start = time.perf_counter()
        table, data = part(args)
        found[name] = dict(
            table=table,
            found=data,
            machine=machine(),
            threads=args.threads,
            rounds=args.rounds,
            date=time.strftime("%Y-%m-%d"),
            seconds=time.perf_counter() - start,
        )
        write(args.out, found)
        print(f"\n{table}\n", flush=True)
    print(f"wrote {args.out}/speed.json, speed.md" + (", speed.png" if "growth" in found else ""))


if __name__ == "__main__":
    main()
