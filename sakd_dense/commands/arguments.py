"""The arguments that the tools share."""

from __future__ import annotations

import argparse

from mmengine.config import DictAction

from ..config.types import PREFIXES

CONFIG_HELP = "a config file, or one of a package: mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """CONFIG, ``--cfg-options``, ``--work-dir`` and ``--launcher``."""
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="change single settings: train_cfg.max_epochs=2 model.backbone.time_steps=8",
    )
    parser.add_argument(
        "--work-dir", help="where logs and checkpoints go (default: work_dirs/NAME OF CONFIG)"
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="how the processes of a distributed run were started (default: none)",
    )
    # torch.distributed.launch gives it, torchrun does not.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)


def add_sakd_arguments(parser: argparse.ArgumentParser) -> None:
    """What turns an ANN config into a spiking one: for ``train.py`` and ``convert_config.py``."""
    parser.add_argument(
        "--teacher-checkpoint",
        metavar="X",
        help="the trained ANN of the same architecture: a file, a URL, open-mmlab://...",
    )
    parser.add_argument("--time-steps", type=int, metavar="T", help="time steps (default: 4)")
    parser.add_argument(
        "--family",
        choices=PREFIXES,
        default="SEW",
        help="SEW-ResNet (default), or Spiking-ResNet: its blocks fire on the sum of both branches",
    )
    parser.add_argument(
        "--no-transfer",
        action="store_true",
        help="level 2 alone: do not start from the teacher's weights",
    )
    parser.add_argument(
        "--source",
        choices=("ann", "snn"),
        default="ann",
        help="where the first weights come from: from an ANN, BatchNorm is trained; from a "
        "distilled SNN (load_from), norm_eval and frozen_stages of the config stand",
    )
