#!/usr/bin/env python
r"""Level 1 of SAKD: copies an ANN's weights into the spiking model of the same architecture.

  python tools/transfer.py retinanet_r50.pth --to configs/retinanet_sew50_sakd_coco.py \
      --out SNN.pth --report report.json
  python tools/transfer.py torchvision://resnet50 --to CONFIG --out SNN.pth
  python tools/transfer.py ANN.pth --to CONFIG --out SNN.pth --calibrate 10 --reestimate-bn 10

Set load_from of the student's config to the output file. The tool accounts for every key; an
unexplained key is an error.
"""

import argparse

import _startup  # noqa: F401 - before torch is loaded
import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner, set_random_seed
from torch import nn

from sakd_dense import __version__
from sakd_dense.commands.arguments import CONFIG_HELP, file_name, reported
from sakd_dense.config.models import with_preprocessor, without_checkpoints
from sakd_dense.config.scopes import load_config
from sakd_dense.guards.data_errors import data_and_disk_named
from sakd_dense.loading.load import build_model, initialize
from sakd_dense.runtime import UserError
from sakd_dense.transfer import TransferError, calibrate, read_checkpoint, reestimate, transfer
from sakd_dense.transfer.apply import SCOPES_OF_TRANSFER
from sakd_dense.transfer.save import save_checkpoint


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="checkpoint of the ANN: a file, a URL, torchvision://resnet50, open-mmlab://...",
    )
    parser.add_argument("--to", required=True, metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument(
        "--out", required=True, metavar="SNN.pth", help="output file of the weights"
    )
    parser.add_argument(
        "--report",
        type=file_name(".json"),
        metavar="FILE.json",
        help="write to this file how each key was used",
    )
    parser.add_argument(
        "--part",
        choices=SCOPES_OF_TRANSFER,
        default="auto",
        help="part to transfer. head: all but the backbone; auto (default): all if the checkpoint "
        "has a neck or head of the model, otherwise the backbone",
    )
    parser.add_argument(
        "--weights",
        default="auto",
        metavar="WHICH",
        help="choice among several sets of weights in the checkpoint: ema (the average), raw, or "
        "the name of one of its models, such as student. auto (default): the average if it is "
        "stored separately, and the model that its author tests",
    )
    parser.add_argument(
        "--left-ok",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="checkpoint keys that may stay unused, e.g. 'head.*'",
    )
    parser.add_argument(
        "--missing-ok",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="model keys that may keep their initialisation, e.g. 'bbox_head.*cls*'",
    )
    parser.add_argument(
        "--reestimate-bn",
        type=int,
        metavar="N",
        help="re-estimate BatchNorm's statistics on N batches of the config's train dataloader, "
        "after --calibrate",
    )
    parser.add_argument(
        "--calibrate",
        type=int,
        metavar="N",
        help="fit the thresholds of neurons that fire integers (NILIFNode) to their inputs on N "
        "batches of the config's train dataloader, before --reestimate-bn",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="random seed of the weights that the checkpoint lacks (default: 0)",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config settings",
    )
    args = parser.parse_args(argv)
    for name in ("reestimate_bn", "calibrate"):
        batches = getattr(args, name)
        if batches is not None and batches < 1:
            parser.error(f"--{name.replace('_', '-')} {batches}: must be at least 1 batch")
    return args


def measure(model: nn.Module, cfg: Config, args: argparse.Namespace) -> None:
    """Fits thresholds and BatchNorm's statistics to the data of ``cfg``, as the arguments request.

    Raises:
        UserError: thresholds are requested but no neuron has one.
    """
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    if args.calibrate and not calibrate(model, loader, args.calibrate):
        raise UserError(
            f"--calibrate {args.calibrate}: {args.to} has no neurons with a threshold to fit; "
            "leave it out, or give the model neuron=dict(type='NILIFNode', D=4)"
        )
    if args.reestimate_bn:
        reestimate(model, loader, args.reestimate_bn)


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        cfg = load_config(args.to, args.cfg_options)
        checkpoint = read_checkpoint(args.checkpoint, args.weights)
        set_random_seed(args.seed)
        # The parts of the model must not load their own checkpoints.
        model = build_model(cfg, without_checkpoints(with_preprocessor(cfg)))
        initialize(model)
        report = transfer(model, checkpoint, args.part, args.left_ok, args.missing_ok)
    except TransferError as error:
        if args.report and error.report is not None:
            error.report.to_json(args.report)
        raise
    if args.reestimate_bn or args.calibrate:
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        with data_and_disk_named(cfg):
            measure(model, cfg, args)
    meta = checkpoint.meta
    kept = {k: meta[k] for k in ("dataset_meta",) if k in meta and report.part == "all"}
    origin = dict(checkpoint=args.checkpoint, part=report.part, keys=len(report.loaded))
    origin["weights"] = args.weights
    origin["reestimated_bn_batches"] = args.reestimate_bn or 0
    origin["calibrated_batches"] = args.calibrate or 0
    save_checkpoint(model, args.out, dict(kept, sakd_dense=__version__, transfer=origin))
    if args.report:
        report.to_json(args.report)
    print(f"wrote {args.out}: {len(report.loaded)} tensors from {args.checkpoint}")


if __name__ == "__main__":
    main()
