#!/usr/bin/env python
"""Exports a spiking model to another runtime and checks that its outputs agree there.

  python tools/export.py CONFIG SNN.pth --format onnx --time-steps 4 --out snn.onnx
  python tools/export.py CONFIG SNN.pth --format nir --out snn.nir
  python tools/export.py CONFIG SNN.pth --slots    # integer spikes: D binary slots per time step

onnx: the file unrolls the T time steps and runs in onnxruntime. nir: the file holds one time step,
and SpikingJelly reads it back. The tool exports the backbone (in NIR, its last stage), or, with
--part model, the whole model up to the outputs of its head. In NIR the whole model must be a
classifier, or a segmentor with SpikingFCNHead. The tool refuses a layer that a format cannot
express, and names it.
"""

import argparse
from pathlib import Path

import _startup  # noqa: F401 - before torch is loaded
import torch
from mmengine.config import Config
from torch import Tensor, nn

from sakd_dense.backbones.time_steps import find_spiking_backbone
from sakd_dense.commands.arguments import add_config_arguments, add_time_steps, reported
from sakd_dense.commands.prepare import apply_run_arguments
from sakd_dense.config.scopes import load_config
from sakd_dense.export import RawModel, export_nir, export_onnx, first_image, unroll
from sakd_dense.loading import build_for_test
from sakd_dense.runtime import UserError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint of the config's model")
    parser.add_argument(
        "--format", choices=("onnx", "nir"), default="onnx", help="file format (default: onnx)"
    )
    parser.add_argument(
        "--part",
        choices=("backbone", "model"),
        default="backbone",
        help="part of the model to export (default: backbone)",
    )
    add_time_steps(parser, nargs=None, help="number of time steps (default: the config's)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="size of the input, filled with noise (default: the first image of the test set)",
    )
    parser.add_argument(
        "--slots",
        action="store_true",
        help="for onnx and neurons that fire integers up to D: layers read D binary slots per time "
        "step instead of counts, so that no weight is multiplied by a count",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="output file (default: CHECKPOINT's name with .onnx or .nir)"
    )
    args = parser.parse_args(argv)
    if args.slots and args.format != "onnx":
        parser.error(f"--slots --format {args.format}: use onnx")
    if args.size is not None and min(args.size) < 1:
        parser.error(f"--size {args.size[0]} {args.size[1]}: must be at least 1")
    return args


def load(cfg: Config, args: argparse.Namespace) -> tuple[nn.Module, Tensor]:
    """Returns the model in eval mode at its T, and preprocessed images ``[1, C, H, W]``."""
    model = build_for_test(cfg, args.checkpoint)
    backbone = find_spiking_backbone(model)
    backbone.time_steps = args.time_steps or backbone.time_steps
    if args.size is None:
        return model, first_image(cfg, model)
    channels = next(m for m in backbone.modules() if isinstance(m, nn.Conv2d)).in_channels
    return model, torch.randn(1, channels, *args.size, generator=torch.Generator().manual_seed(0))


def in_slots(module: nn.Module, images: Tensor) -> tuple[nn.Module, str]:
    """Returns the module with its counts unrolled, and a text on the result for its layers."""
    unrolled, reading, multiplying = unroll(module, lambda m: m(images))
    if not reading:
        raise UserError(
            "--slots: no layer of the model reads spike counts; give the model neurons that fire "
            "integers (neuron=dict(type='NILIFNode', D=4))"
        )
    text = f"; {len(reading)} layers read binary slots, {len(multiplying)} multiply"
    return unrolled, f"{text} ({', '.join(multiplying[:8])})" if multiplying else text


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    out = args.out or str(Path(args.checkpoint).with_suffix(f".{args.format}"))
    cfg = load_config(args.config, args.cfg_options)
    apply_run_arguments(cfg, args)
    model, images = load(cfg, args)
    backbone = find_spiking_backbone(model)
    t, shape = backbone.time_steps, "x".join(map(str, images.shape))
    part = backbone if args.part == "backbone" else model
    if args.format == "nir":
        difference = export_nir(part, out, images)
        result = (
            f"read back and run {t} steps by SpikingJelly: the mean over them differs by at "
            f"most {difference:.2g}"
        )
    else:
        whole = part if part is backbone else RawModel(model)
        slots = ""
        if args.slots:
            whole, slots = in_slots(whole, images)
        share = export_onnx(whole, out, images)
        result = (
            f"{t} steps unrolled, run in onnxruntime: {100 * share:.3g} % of the outputs "
            f"differ by more than 1e-4{slots}"
        )
    print(f"the {args.part} on images of {shape}, {result}\nwrote {out}")


if __name__ == "__main__":
    main()
