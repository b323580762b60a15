#!/usr/bin/env python
r"""Draws the predictions of the teacher and of the spiking student at several T side by side.

  python tools/image_demo.py data/bccd/JPEGImages/BloodImage_00007.jpg \
      configs/retinanet_sew18_sakd_bccd.py SNN.pth --time-steps 1 4

The picture shows the boxes and masks of a detector, the label map of a segmentor or the class of a
classifier. The config's own test pipeline loads the image. For a recording of an event camera,
IMAGE is its file and --timestamp the end of the window. The tool draws the time bins of the window
into a second picture.
"""

import argparse
from pathlib import Path

import _startup  # noqa: F401 - before torch is loaded

from sakd_dense.commands.arguments import CONFIG_HELP, add_time_steps, reported
from sakd_dense.config.scopes import load_config
from sakd_dense.config.teacher import teacher_file
from sakd_dense.config.types import spiking_backbone_cfgs
from sakd_dense.datasets.events.opening import open_events
from sakd_dense.report.loaded import TestPipeline
from sakd_dense.report.panels import save_panels
from sakd_dense.report.samples import Samples
from sakd_dense.runtime.errors import MissingFileError, UserError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "image", metavar="IMAGE", help="image file, or recording of an event camera"
    )
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint of the config's model")
    add_time_steps(parser, help="values of T to draw, such as 1 4 (default: the config's)")
    parser.add_argument(
        "--teacher-checkpoint",
        metavar="X",
        help="checkpoint of the ANN to draw first (default: the teacher of the config's SAKDHook, "
        "if that file exists)",
    )
    parser.add_argument(
        "--out", metavar="PNG", help="output picture (default: work_dirs/image_demo/IMAGE_NAME.png)"
    )
    parser.add_argument(
        "--score-thr",
        type=float,
        default=0.3,
        metavar="S",
        help="minimum score of the boxes to draw (default: 0.3)",
    )
    parser.add_argument(
        "--timestamp",
        type=int,
        metavar="US",
        help="for an event recording: draw the window that ends at this time, in microseconds",
    )
    parser.add_argument(
        "--device", default="cpu", help="device to run on, such as cuda:0 (default: cpu)"
    )
    args = parser.parse_args(argv)
    if not 0 <= args.score_thr <= 1:
        parser.error(f"--score-thr {args.score_thr}: must be a number from 0 to 1")
    return args


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    out = args.out or f"work_dirs/image_demo/{Path(args.image).stem}.png"
    if not Path(args.image).is_file():
        raise MissingFileError(f"image {args.image!r} does not exist")
    cfg = load_config(args.config)
    teacher = args.teacher_checkpoint or teacher_file(cfg)
    if not spiking_backbone_cfgs(cfg.model):
        if args.time_steps or args.teacher_checkpoint:
            raise UserError(
                f"{args.config} is an ANN: it has no time steps and no teacher; leave "
                "--time-steps and --teacher-checkpoint out"
            )
        teacher = None
    samples = Samples.of_config(
        cfg, args.checkpoint, teacher, args.time_steps, args.device, args.score_thr
    )
    load = TestPipeline(cfg, annotations=False)
    loaded = load(dict(img_path=args.image, img_id=0, timestamp=args.timestamp))
    if loaded.bins and not loaded.inputs.any():
        raise UserError(
            f"--timestamp {args.timestamp}: {args.image} has no event in the window before it; its "
            f"last event is at {open_events(args.image).end - 1} us"
        )
    panels = samples.predictions(loaded)
    save_panels(panels, out)
    for panel in panels:
        print(f"{panel.title}: {panel.summary}")
    print(f"wrote {out}")
    if loaded.bins:
        bins = Path(out).with_stem(f"{Path(out).stem}_bins")
        save_panels(samples.bins(loaded, panels[-1]), bins, panel_inches=3.0)
        print(f"wrote {bins}")


if __name__ == "__main__":
    main()
