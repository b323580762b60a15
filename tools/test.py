#!/usr/bin/env python
r"""Test a checkpoint, at one or several numbers of time steps T.

  python tools/test.py configs/retinanet_sew18_sakd_bccd.py SNN.pth --time-steps 1 2 4 8 \
      --out sweep.json
  python tools/test.py configs/retinanet_r18_bccd.py TEACHER.pth
  python tools/test.py CONFIG SNN.pth --time-steps 1 2 --counts 1 2 4    # neurons of up to D spikes

All T are read from one backbone pass a batch at the largest; the numbers are those of separate
runs. Without --time-steps the model runs at the T of its config; an ANN has none. Each D of
--counts is another pass, from which all T are read.
"""

import argparse
from pathlib import Path

import _startup  # noqa: F401 - before torch is loaded
from mmengine.dist import is_main_process

from sakd_dense.commands.arguments import (
    add_config_arguments,
    add_counts,
    add_time_steps,
    file_name,
    reported,
)
from sakd_dense.commands.data_errors import data_and_disk_named
from sakd_dense.commands.prepare import apply_run_arguments, keep_freed_memory, start_processes
from sakd_dense.commands.tta import draw_to, use_tta
from sakd_dense.config.scopes import load_config
from sakd_dense.report.figures import save_readings
from sakd_dense.runtime.processes import leaving_process_group
from sakd_dense.timesteps import CountGrid, SweepResult, grid, sweep
from sakd_dense.transfer import verify_checkpoint

PREDICTIONS = (
    ". It holds metrics; predictions are written by the config's evaluator: "
    "test_evaluator.outfile_prefix=..., or a DumpResults metric with out_file_path=results.pkl"
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a file or URL; it must fit the config's model"
    )
    add_time_steps(parser, help="the T to read, such as 1 2 4 8")
    add_counts(
        parser,
        help="the D to read, such as 1 2 4, of neurons that fire up to D spikes a time step "
        "(NILIFNode, ILIFNode); default: the config's",
    )
    parser.add_argument(
        "--out",
        metavar="JSON",
        type=file_name(".json", hint=PREDICTIONS),
        help="write the table as JSON, and a plot beside it",
    )
    parser.add_argument(
        "--plot",
        metavar="PNG",
        type=file_name(".png"),
        help="where the plot goes (default: beside --out)",
    )
    parser.add_argument(
        "--show-dir",
        metavar="DIR",
        help="draw the predictions at the config's T (or at the largest T read) into DIR",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: the config's tta_model and tta_pipeline, or for a detector "
        "without them the image and its mirror image",
    )
    parser.add_argument(
        "--timed-batches",
        type=int,
        default=4,
        metavar="N",
        help="batches over which ms an image of each T by itself is measured (default: 4; 0: none)",
    )
    parser.add_argument(
        "--no-fuse",
        action="store_true",
        help="leave the backbone's BatchNorms where they are, instead of folding them into its "
        "convolutions: slower, and to the last digit what validation while training gives",
    )
    args = parser.parse_args(argv)
    if args.timed_batches < 0:
        parser.error(f"--timed-batches {args.timed_batches}: give 0 or more")
    return args


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    apply_run_arguments(cfg, args)
    keep_freed_memory(cfg)
    verify_checkpoint(args.checkpoint, hand_on=True)
    if args.show_dir:
        draw_to(cfg, args.show_dir)
    if args.tta:
        use_tta(cfg)
    start_processes(cfg)
    how = args.time_steps, args.timed_batches, not args.no_fuse
    result: SweepResult | CountGrid
    with data_and_disk_named(cfg):
        if args.counts:
            result = grid(cfg, args.checkpoint, args.counts, *how)
        else:
            result = sweep(cfg, args.checkpoint, *how)
    if not is_main_process():
        return
    plot = args.plot or (args.out and str(Path(args.out).with_suffix(".png")))
    if args.out:
        result.to_json(args.out)
    if plot:
        save_readings(result, plot)
    print(f"\n{args.config}  {args.checkpoint}\n\n{result.table()}\n\n{result.notes()}")
    for path in (args.out, plot):
        if path:
            print(f"wrote {path}")


if __name__ == "__main__":
    with leaving_process_group():
        main()
