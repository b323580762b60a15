#!/usr/bin/env python
r"""Tests a checkpoint at one or several numbers of time steps T.

  python tools/test.py configs/retinanet_sew18_sakd_bccd.py SNN.pth --time-steps 1 2 4 8 \
      --out sweep.json
  python tools/test.py configs/retinanet_r18_bccd.py TEACHER.pth
  python tools/test.py CONFIG SNN.pth --time-steps 1 2 --counts 1 2 4    # up to D spikes per step

The backbone runs once per batch, at the largest T, and the tool reads all smaller T from that pass.
The metrics equal those of separate runs. Without --time-steps the model runs at the T of its
config; an ANN has no time steps. Each D of --counts takes another pass, from which the tool reads
all T.
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
from sakd_dense.commands.prepare import add_speed_hooks, apply_run_arguments, start_processes
from sakd_dense.commands.tta import draw_to, use_tta
from sakd_dense.config.scopes import load_config
from sakd_dense.guards.data_errors import data_and_disk_named
from sakd_dense.report.figures import save_readings
from sakd_dense.runtime.processes import leaving_process_group
from sakd_dense.timesteps import sweep
from sakd_dense.transfer import verify_checkpoint

PREDICTIONS = (
    ". The file holds metrics; the config's evaluator writes predictions: "
    "test_evaluator.outfile_prefix=..., or a DumpResults metric with out_file_path=results.pkl"
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint of the config's model: a file or a URL"
    )
    add_time_steps(parser, help="values of T to test, such as 1 2 4 8 (default: the config's)")
    add_counts(
        parser,
        help="values of D to test, such as 1 2 4, for neurons that fire up to D spikes per time "
        "step (NILIFNode, ILIFNode; default: the config's)",
    )
    parser.add_argument(
        "--out",
        metavar="JSON",
        type=file_name(".json", hint=PREDICTIONS),
        help="write the table as JSON, with a plot beside it",
    )
    parser.add_argument(
        "--plot",
        metavar="PNG",
        type=file_name(".png"),
        help="file of the plot (default: beside --out)",
    )
    parser.add_argument(
        "--show-dir",
        metavar="DIR",
        help="draw the predictions at the config's T (or at the largest T tested) into DIR",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="use test-time augmentation: the config's tta_model and tta_pipeline, or, for a "
        "detector without them, the image and its mirror image",
    )
    parser.add_argument(
        "--timed-batches",
        type=int,
        default=4,
        metavar="N",
        help="number of batches on which each T is timed by itself, in ms per image "
        "(default: 4; 0: none)",
    )
    parser.add_argument(
        "--no-fuse",
        action="store_true",
        help="do not fold the backbone's BatchNorms into its convolutions: slower, but the metrics "
        "equal those of validation during training to the last digit",
    )
    args = parser.parse_args(argv)
    if args.timed_batches < 0:
        parser.error(f"--timed-batches {args.timed_batches}: must be at least 0")
    return args


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    apply_run_arguments(cfg, args)
    add_speed_hooks(cfg)
    verify_checkpoint(args.checkpoint, keep=True)
    if args.show_dir:
        draw_to(cfg, args.show_dir)
    if args.tta:
        use_tta(cfg)
    start_processes(cfg)
    how = args.time_steps, args.timed_batches, not args.no_fuse, args.counts or None
    with data_and_disk_named(cfg):
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
