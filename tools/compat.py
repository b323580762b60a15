#!/usr/bin/env python
"""Tests upstream configs with a spiking backbone, and reports why some fail.

  python tools/compat.py                                     # every config: long
  python tools/compat.py --package mmdet --match 'retinanet/*r50*'
  python tools/compat.py --backbones other                   # YOLOX, UNet, HRNet ...

Each config in a process of its own: build with the spiking backbone, one training step, one
prediction, strict loading, one SAKD step. What fails is run as upstream has it. Goes on where it
was stopped; writes the JSON after every config, the table at the end.
"""

import argparse
import sys
from pathlib import Path

import _startup  # noqa: F401 - before torch is loaded
import torch

from sakd_dense.commands.arguments import add_time_steps, file_name, reported
from sakd_dense.compat import find_cases, markdown, run_cases
from sakd_dense.compat.cases import BACKBONES, PACKAGES
from sakd_dense.runtime.errors import UserError
from sakd_dense.runtime.files import replacing


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--package", nargs="+", choices=PACKAGES, default=list(PACKAGES))
    parser.add_argument(
        "--backbones",
        choices=BACKBONES,
        default="resnet",
        help="resnet (default): of the ResNet family, with SEW; other: all others, with Spiking",
    )
    parser.add_argument("--match", default="*", metavar="GLOB", help="of a config's path")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--size", type=int, default=128, help="of the images (default: 128)")
    add_time_steps(parser, nargs=None, default=2, help="(default: 2)")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="after which a config is stopped"
    )
    parser.add_argument(
        "--out",
        type=file_name(".json"),
        metavar="JSON",
        help="(default: work_dirs/compat-BACKBONES.json)",
    )
    parser.add_argument("--table", type=Path, metavar="MD", help="write the table here, too")
    args = parser.parse_args(argv)
    for name in ("jobs", "size", "seconds"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} {getattr(args, name)}: take at least 1")
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
        sys.exit(f"\nstopped; what is known lies in {args.out}, the next start goes on from there")
    table = markdown(result, args.backbones)
    print(f"\n\n{table}")
    print(f"wrote {args.out}")
    if args.table:
        with replacing(args.table) as temporary:
            temporary.write_text(table)
        print(f"wrote {args.table}")


if __name__ == "__main__":
    main()
