#!/usr/bin/env python
r"""Trains a detector, segmentor or classifier, spiking or not.

  python tools/train.py configs/retinanet_sew18_sakd_bccd.py
  python tools/train.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py \
      --sakd --teacher-checkpoint retinanet_r50.pth --time-steps 4

The second command turns an ANN config of mmdet, mmseg or mmpretrain into a spiking student. Its
teacher is the ANN of the same architecture, with the weights of the teacher checkpoint.
"""

import argparse
import logging
import shlex
import sys

import _startup  # noqa: F401 - before torch is loaded
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from sakd_dense.commands.arguments import (
    add_config_arguments,
    add_sakd_arguments,
    reported,
)
from sakd_dense.commands.prepare import (
    add_speed_hooks,
    apply_run_arguments,
    apply_sakd,
    apply_training_arguments,
    guard_checkpoints,
    start_processes,
    watch_firing_rates,
)
from sakd_dense.config.policy import check_norm_policy
from sakd_dense.config.scopes import load_config
from sakd_dense.config.teacher import sakd_hook
from sakd_dense.guards.data_errors import data_and_disk_named
from sakd_dense.guards.run import guard_run, tidy
from sakd_dense.runtime.processes import leaving_process_group


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the arguments, and refuses those that do not go together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--amp",
        action="store_true",
        help="train in mixed precision (float16 on a GPU, bfloat16 on a CPU)",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate with the total batch size of all GPUs (auto_scale_lr of the "
        "config)",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="resume from PATH, or, without PATH, from the last checkpoint in the work directory",
    )
    sakd = parser.add_argument_group("SAKD for an ANN config")
    sakd.add_argument(
        "--sakd", action="store_true", help="make the model spiking and distil its ANN into it"
    )
    add_sakd_arguments(sakd)  # type: ignore[arg-type]  # a group is as good as a parser
    args = parser.parse_args(argv)
    if args.sakd and args.teacher_checkpoint is None:
        parser.error("--sakd needs --teacher-checkpoint: the trained ANN of the same architecture")
    of_sakd = (args.teacher_checkpoint, args.time_steps, args.counts, args.no_transfer)
    if not args.sakd and any(of_sakd):
        parser.error("--teacher-checkpoint, --time-steps, --counts and --no-transfer need --sakd")
    return args


def run_config(args: argparse.Namespace) -> Config:
    """Returns the config of the run that the arguments describe.

    Raises:
        UserError: the config cannot be read, or does not support an argument.
    """
    cfg = load_config(args.config)
    if args.sakd:
        cfg = apply_sakd(cfg, args)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    apply_run_arguments(cfg, args, trains=True)
    apply_training_arguments(cfg, args)
    watch_firing_rates(cfg)
    add_speed_hooks(cfg)
    cfg.command = shlex.join(["python", *sys.argv])  # for the report of the run
    return cfg


@reported
def main(argv: list[str] | None = None) -> None:
    """Trains the model."""
    cfg = run_config(parse_args(argv))
    tidy(cfg.work_dir)
    guard_checkpoints(cfg)
    start_processes(cfg)
    if not sakd_hook(cfg):  # the hook logs the same warnings
        for warning in check_norm_policy(cfg):
            print_log(warning, "current", logging.WARNING)
    with data_and_disk_named(cfg):
        runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
        guard_run(runner)
        runner.train()


if __name__ == "__main__":
    with leaving_process_group():
        main()
