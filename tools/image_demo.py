#!/usr/bin/env python
"""Draw the boxes of the teacher and of the spiking student at several T side by side.

python tools/image_demo.py data/bccd/JPEGImages/BloodImage_00007.jpg \\
      configs/retinanet_sew18_sakd_bccd.py SNN.pth --time-steps 1 4
"""

import argparse
from pathlib import Path

from sakd_dense.backbones.time_steps import find_spiking_backbone
from sakd_dense.commands.arguments import CONFIG_HELP, add_time_steps, reported
from sakd_dense.config.scopes import load_config
from sakd_dense.config.teacher import sakd_hook, teacher_config, teacher_file
from sakd_dense.config.types import spiking_backbone_cfgs
from sakd_dense.report.visualization import Panel, draw_panels, load_detector, predict
from sakd_dense.runtime.errors import UserError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="of the config's model")
    add_time_steps(parser, help="the T to draw, such as 1 4 (default: that of the config)")
    parser.add_argument(
        "--teacher-checkpoint",
        metavar="X",
        help="the ANN to draw first (default: the config's SAKDHook's, if the file is there)",
    )
    parser.add_argument(
        "--out", metavar="PNG", help="the picture (default: work_dirs/image_demo/IMAGE'S NAME.png)"
    )
    parser.add_argument(
        "--score-thr",
        type=float,
        default=0.3,
        metavar="S",
        help="leave out boxes with a lower score (default: 0.3)",
    )
    parser.add_argument("--device", default="cpu", help="such as cuda:0 (default: cpu)")
    args = parser.parse_args(argv)
    if not 0 <= args.score_thr <= 1:
        parser.error(f"--score-thr {args.score_thr}: give a number from 0 to 1")
    return args


def panels_of(args: argparse.Namespace) -> tuple[list[Panel], dict]:
    """The teacher's panel, if there is a teacher, and one for each T; and the classes' names."""
    cfg = load_config(args.config)
    teacher = args.teacher_checkpoint or teacher_file(cfg)
    if not spiking_backbone_cfgs(cfg.model):
        if args.time_steps or args.teacher_checkpoint:
            raise UserError(
                f"{args.config} is an ANN: it has no time steps and no teacher; leave "
                "--time-steps and --teacher-checkpoint out"
            )
        teacher = None
    panels = []
    if teacher is not None:
        given = sakd_hook(cfg).get("teacher") or {}
        ann_cfg = teacher_config(cfg.model, given.get("config"))
        ann = load_detector(cfg, teacher, args.device, ann_cfg)
        panels.append(predict(ann, args.image, "teacher (ANN)"))
    model = load_detector(cfg, args.checkpoint, args.device)
    if spiking_backbone_cfgs(cfg.model):
        backbone = find_spiking_backbone(model)
        for t in args.time_steps or [backbone.time_steps]:
            backbone.time_steps = t
            panels.append(predict(model, args.image, f"SNN, T = {t}"))
    else:
        panels.append(predict(model, args.image, "ANN"))
    return [panel.above(args.score_thr) for panel in panels], model.dataset_meta


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    out = args.out or f"work_dirs/image_demo/{Path(args.image).stem}.png"
    panels, meta = panels_of(args)
    classes, palette = meta.get("classes", ()), meta.get("palette", ())
    draw_panels([panels], out, classes, palette, panel_inches=5)
    for panel in panels:
        print(f"{panel.title}: {len(panel.boxes)} boxes with a score of {args.score_thr:g} or more")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
