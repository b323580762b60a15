#!/usr/bin/env python
"""Tests upstream configs with a spiking backbone and reports why some fail.

  python tools/compat.py                                     # every config: long
  python tools/compat.py --package mmdet --match 'retinanet/*r50*'
  python tools/compat.py --backbones other                   # YOLOX, UNet, HRNet ...

Each config runs in a separate process: the tool builds the model with the spiking backbone, runs
one training step and one prediction, loads a checkpoint strictly and runs one SAKD step. A config
that fails also runs as upstream ships it. The tool writes the JSON file after every config and the
table at the end. A stopped run resumes when the command is repeated.
"""

import argparse
import sys
from pathlib import Path

import _startup  # noqa: F401 - before torch is loaded
import torch
from compat import find_cases, markdown, run_cases
from compat.cases import BACKBONES, PACKAGES

from sakd_dense.commands.arguments import add_time_steps, file_name, reported
from sakd_dense.runtime.errors import UserError
from sakd_dense.runtime.files import replacing


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--package",
        nargs="+",
        choices=PACKAGES,
        default=list(PACKAGES),
        help="packages whose configs to test (default: all)",
    )
    parser.add_argument(
        "--backbones",
        choices=BACKBONES,
        default="resnet",
        help="resnet (default): the ResNet family, with SEW; other: all other backbones, with "
        "Spiking",
    )
    parser.add_argument(
        "--match",
        default="*",
        metavar="GLOB",
        help="pattern that the path of a config must match (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="number of parallel processes (default: 2)"
    )
    parser.add_argument(
        "--size", type=int, default=128, help="size of the images in pixels (default: 128)"
    )
    add_time_steps(parser, nargs=None, default=2, help="number of time steps (default: 2)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=300.0,
        help="time limit of a config in seconds (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=file_name(".json"),
        metavar="JSON",
        help="file of the results (default: work_dirs/compat-BACKBONES.json)",
    )
    parser.add_argument(
        "--table", type=Path, metavar="MD", help="also write the table to this Markdown file"
    )
    args = parser.parse_args(argv)
    for name in ("jobs", "size", "seconds"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} {getattr(args, name)}: must be at least 1")
    if args.out is None:
        args.out = Path(f"work_dirs/compat-{args.backbones}.json")
    return args


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(1)  # before anything forks
    cases = []
    for package in args.package:
        print(f"reading the configs of {package}", flush=True)
        cases += find_cases(package, args.match, progress=True, backbones=args.backbones)
        print()
    if not cases:
        raise UserError(
            f"no config matches {args.match!r} and has a backbone of --backbones {args.backbones}"
        )
    configs = sum(len(case.configs) for case in cases)
    print(f"{configs} configs, {len(cases)} different models", flush=True)
    options = dict(size=args.size, time_steps=args.time_steps)
    try:
        result = run_cases(cases, args.out, args.jobs, args.seconds, **options)
    except KeyboardInterrupt:
        sys.exit(
            f"\nstopped; the results so far are in {args.out}, and the next run resumes from them"
        )
    table = markdown(result, args.backbones)
    print(f"\n\n{table}")
    print(f"wrote {args.out}")
    if args.table:
        with replacing(args.table) as temporary:
            temporary.write_text(table)
        print(f"wrote {args.table}")


if __name__ == "__main__":
    main()
