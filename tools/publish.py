#!/usr/bin/env python
r"""Writes a trained student as a slim file: only its weights, with a JSON record next to it.

  python tools/publish.py work_dirs/run/epoch_12.pth --out student.safetensors \
      --config configs/retinanet_sew18_sakd_bccd.py --sweep sweep.json
  python tools/publish.py epoch_12.pth --out backbone.pth --form torchvision

--form torchvision writes the backbone under torchvision's names. The file loads into torchvision's
ResNet, SpikingJelly's models and any init_cfg=dict(type='Pretrained').
"""

import argparse

import _startup  # noqa: F401 - before torch is loaded

from sakd_dense.commands.arguments import CONFIG_HELP, reported
from sakd_dense.config.scopes import load_config
from sakd_dense.export.publishing import FORMS, publish
from sakd_dense.timesteps import SweepResult


@reported
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint of the student")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="output file, .pth or .safetensors; a hash is added to its name",
    )
    parser.add_argument("--config", help=f"config of the student, for the record: {CONFIG_HELP}")
    parser.add_argument(
        "--sweep", metavar="JSON", help="file of tools/test.py --out, with the metrics at each T"
    )
    parser.add_argument(
        "--form",
        choices=FORMS,
        default="model",
        help="model (default): the whole model; torchvision: the backbone alone, under "
        "torchvision's names",
    )
    args = parser.parse_args(argv)
    config = load_config(args.config) if args.config else None
    metrics = SweepResult.from_json(args.sweep).labelled() if args.sweep else None
    file = publish(args.checkpoint, args.out, config, metrics, args.form)
    print(f"wrote {file} ({file.stat().st_size / 2**20:.1f} MiB) and {file.with_suffix('.json')}")


if __name__ == "__main__":
    main()
