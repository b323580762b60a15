#!/usr/bin/env python
"""Splits a folder with one image of each ImageNet class into lists, for mmpretrain's data sets.

  python benchmarks/imagenet_lists.py data/imagenet1000
  python tools/transfer.py data/resnet50_imagenet_caffe_rgb.pth \
      --to benchmarks/configs/sew50_sakd_imagenet1000.py \
      --out work_dirs/imagenet1000/level1.pth --reestimate-bn 10
  python tools/test.py benchmarks/configs/sew50_sakd_imagenet1000.py \
      work_dirs/imagenet1000/level1.pth --time-steps 1 2 4
  python tools/train.py benchmarks/configs/sew50_sakd_imagenet1000.py --amp

The sorted file names are in the order of the classes. The script writes 250 random images to
val.txt and the other 750 to train.txt. A line consists of a name and its class.
"""

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/imagenet1000"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    names = sorted(f.name for f in args.folder.glob("*.jpg"))
    if len(names) != 1000:
        raise SystemExit(f"{args.folder}: {len(names)} pictures; one of each class is needed")
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(args.seed)).tolist()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, chosen in (("val", order[:250]), ("train", order[250:])):
        lines = [f"{names[i]} {i}" for i in sorted(chosen)]
        (args.out / f"{name}.txt").write_text("\n".join(lines) + "\n")
        print(f"{args.out / name}.txt: {len(lines)} pictures")


if __name__ == "__main__":
    main()
