#!/usr/bin/env python
r"""Writes the SAKD config of an upstream ANN config, with only the settings that differ from it.

  python tools/convert_config.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py \
      --teacher-checkpoint retinanet_r50.pth --out my_configs/retinanet_sew50_sakd.py

`tools/train.py CONFIG --sakd` trains the same model without writing a config.
"""

import argparse

import _startup  # noqa: F401 - before torch is loaded
from mmengine.config import DictAction

from sakd_dense.commands.arguments import CONFIG_HELP, add_sakd_arguments, reported
from sakd_dense.commands.prepare import apply_sakd
from sakd_dense.config.scopes import load_config
from sakd_dense.config.write import read_as_base, write_config


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument("--out", required=True, metavar="FILE.py", help="file of the new config")
    add_sakd_arguments(parser)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override settings of the new config",
    )
    return parser.parse_args(argv)


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    load_config(args.config)
    cfg = apply_sakd(read_as_base(args.config), args)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    comment = f"Written by tools/convert_config.py from {args.config}"
    write_config(args.config, cfg, args.out, comment)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
