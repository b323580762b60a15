#!/usr/bin/env python
r"""Measures firing rates, synaptic operations and energy of a spiking model and of its ANN.

  python tools/energy.py configs/retinanet_sew18_sakd_bccd.py SNN.pth --time-steps 1 2 4 8 \
      --out energy.json

The tool runs images of the test set and reports every layer by two conventions. Strict: an input
that is not binary makes the next layer multiply. Spike-count: an integer n costs n accumulates.
"""

import argparse
from pathlib import Path

import _startup  # noqa: F401 - before torch is loaded

from sakd_dense.commands.arguments import (
    add_config_arguments,
    add_time_steps,
    file_name,
    reported,
)
from sakd_dense.commands.prepare import apply_run_arguments
from sakd_dense.config.scopes import load_config
from sakd_dense.config.teacher import teacher_file
from sakd_dense.energy import COSTS, ESTIMATORS, study
from sakd_dense.guards.data_errors import data_and_disk_named
from sakd_dense.report.figures import save_energy
from sakd_dense.transfer import verify_checkpoint


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint of the config's model: a file or a URL"
    )
    add_time_steps(parser, help="values of T to measure, such as 1 2 4 8 (default: the config's)")
    parser.add_argument(
        "--samples",
        type=int,
        default=8,
        metavar="N",
        help="number of test images, run one at a time (default: 8)",
    )
    parser.add_argument(
        "--cost",
        choices=tuple(COSTS),
        default="fp32",
        help="energy per operation at 45 nm, Horowitz 2014 (default: fp32, 4.6 pJ per MAC and 0.9 "
        "pJ per AC)",
    )
    parser.add_argument(
        "--e-mac", type=float, metavar="PJ", help="energy per MAC in pJ, instead of --cost's"
    )
    parser.add_argument(
        "--e-ac", type=float, metavar="PJ", help="energy per accumulate in pJ, instead of --cost's"
    )
    parser.add_argument(
        "--teacher-checkpoint",
        metavar="X",
        help="checkpoint of the ANN (default: the teacher of the config's SAKDHook if that file "
        "exists, otherwise random weights)",
    )
    parser.add_argument(
        "--estimators",
        nargs="+",
        choices=ESTIMATORS,
        default=[],
        help="also report SpikingJelly's estimates with memory access (docs/energy.md): any of "
        + ", ".join(ESTIMATORS),
        metavar="NAME",
    )
    parser.add_argument(
        "--out",
        metavar="JSON",
        type=file_name(".json"),
        help="write the report as JSON, with a plot beside it",
    )
    return parser.parse_args(argv)


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    apply_run_arguments(cfg, args)
    teacher = args.teacher_checkpoint or teacher_file(cfg)
    for file in (args.checkpoint, teacher):
        if file is not None:
            verify_checkpoint(file, keep=True)
    with data_and_disk_named(cfg):
        report = study(
            cfg,
            args.checkpoint,
            args.time_steps,
            args.samples,
            args.cost,
            args.e_mac,
            args.e_ac,
            teacher,
            args.estimators,
        )
    longest = max(report.readings)
    texts = (report.layers(longest), report.summary(), report.estimates(), report.notes())
    print("\n\n".join([f"\n{args.config}  {args.checkpoint}", *filter(None, texts)]))
    if args.out:
        picture = Path(args.out).with_suffix(".png")
        report.to_json(args.out)
        save_energy(report, picture)
        print(f"wrote {args.out}\nwrote {picture}")


if __name__ == "__main__":
    main()
