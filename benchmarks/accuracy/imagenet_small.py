#!/usr/bin/env python
"""ImageNet in small: a ResNet-50 with ImageNet's weights becomes spiking, and is distilled.

  python -m benchmarks.accuracy.imagenet_small data/imagenet1000        # the lists of images, all arms
  python -m benchmarks.accuracy.imagenet_small data/imagenet1000 --arms spiking-1x4 --epochs 20

The folder has one image of each class; sorted file names are in the order of the classes. A seed
draws 250 images to test on. The other 750 serve to fit thresholds, to re-estimate BatchNorm's
statistics and to distil from, without their labels. Each arm runs the tools as a user would:
transfer.py (level 1), test.py, train.py --amp, test.py. A second start resumes. The checkpoints lie
in work_dirs/imagenet1000, the accuracies in benchmarks/results/imagenet1000.

The 250 images are of classes that no training image has, so a student that learns to name the
others names these less. 250 of the training images are read as well.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.lib.measure import machine, write_json

CONFIG = "benchmarks/configs/sew50_sakd_imagenet1000.py"
ANN = "data/resnet50_imagenet_caffe_rgb.pth"
RUNS, RESULTS = Path("work_dirs/imagenet1000"), Path("benchmarks/results/imagenet1000")
SPIKING: dict[str, object] = {"model.backbone.type": "SpikingResNet"}
COUNTS: dict[str, object] = {
    "model.backbone.time_steps": 1,
    "model.backbone.neuron.type": "NILIFNode",
    "model.backbone.neuron.D": 4,
}
# What differs from the config, and the T to read. An arm that starts near its teacher needs a low
# learning rate.
ARMS: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {
    "sew-t4": ({}, (1, 2, 4)),
    "spiking-t4": (SPIKING, (1, 2, 4)),
    "sew-1x4": ({**COUNTS, "optim_wrapper.optimizer.lr": 1e-4}, (1,)),
    "spiking-1x4": ({**COUNTS, **SPIKING, "optim_wrapper.optimizer.lr": 2e-5}, (1,)),
}


def write_lists(folder: Path, seed: int) -> None:
    """Writes 250 random images to val.txt and the other 750 to train.txt: names and classes."""
    names = sorted(f.name for f in folder.glob("*.jpg"))
    if len(names) != 1000:
        raise SystemExit(f"{folder}: {len(names)} pictures; one of each class is needed")
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(seed)).tolist()
    RUNS.mkdir(parents=True, exist_ok=True)
    for name, chosen in (("val", order[:250]), ("train", order[250:])):
        lines = [f"{names[i]} {i}" for i in sorted(chosen)]
        (RUNS / f"{name}.txt").write_text("\n".join(lines) + "\n")


def tool(name: str, *arguments: object) -> None:
    subprocess.run([sys.executable, f"tools/{name}.py", *map(str, arguments)], check=True)


def tested(
    checkpoint: Path, options: list[str], time_steps: tuple[int, ...], images: str = "val"
) -> dict[str, float]:
    """Returns the top-1 accuracy in per cent by T, on 250 images."""
    out = checkpoint.with_name(f"{checkpoint.stem}_{images}.json")
    dataset = "test_dataloader.dataset"
    options = [*options, f"{dataset}.ann_file={RUNS / images}.txt", f"{dataset}.indices=250"]
    if not out.is_file():
        tool("test", CONFIG, checkpoint, "--time-steps", *time_steps, "--out", out, *options)
    rows = json.loads(out.read_text())["rows"]
    return {str(row["T"]): row["metrics"]["accuracy/top1"] for row in rows}


def minutes(home: Path) -> float:
    """Returns the time of all logged iterations, resumed runs included."""
    seconds: dict[int, float] = {}
    for log in sorted(home.glob("*/vis_data/scalars.json")):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        seconds |= {row["step"]: row["time"] for row in rows if "loss" in row}
    steps = sorted(seconds)
    gaps = [b - a for a, b in zip([0, *steps], steps, strict=False)]
    return sum(gap * seconds[step] for gap, step in zip(gaps, steps, strict=True)) / 60


def run(arm: str, epochs: int, seed: int, threads: int) -> dict[str, object]:
    """Returns the accuracy of an arm before and after its distillation, and its cost."""
    changes, time_steps = ARMS[arm]
    home, level1 = RUNS / arm, RUNS / arm / "level1.pth"
    schedule = {"train_cfg.max_epochs": epochs, "train_cfg.val_interval": epochs}
    changes = {**changes, **schedule, "param_scheduler.1.T_max": epochs, "load_from": level1}
    changes["randomness.seed"] = seed
    options = ["--cfg-options", *(f"{key}={value}" for key, value in changes.items())]
    home.mkdir(parents=True, exist_ok=True)
    if not level1.is_file():
        fit = [*(["--calibrate", 10] if arm.endswith("1x4") else []), "--reestimate-bn", 10]
        tool("transfer", ANN, "--to", CONFIG, "--out", level1, *fit, *options)
    before = tested(level1, options, time_steps)
    last = home / f"epoch_{epochs}.pth"
    if not last.is_file():
        resume = ["--resume"] if (home / "last_checkpoint").is_file() else []
        tool("train", CONFIG, "--amp", "--work-dir", home, *resume, *options)
    after = {n: tested(last, options, time_steps, n) for n in ("val", "train")}
    cost = dict(epochs=epochs, minutes=round(minutes(home), 1), threads=threads)
    accuracy = dict(level1=before, distilled=after["val"], distilled_on_train=after["train"])
    return dict(arm=arm, **accuracy, **cost, options=options, machine=machine())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of split and training (default: 0)")
    args = parser.parse_args()
    write_lists(args.folder, args.seed)
    for arm in args.arms:
        result = run(arm, args.epochs, args.seed, torch.get_num_threads())
        write_json(RESULTS / f"{arm}.json", result)
        print(f"{arm}: level 1 {result['level1']}, distilled {result['distilled']}", flush=True)


if __name__ == "__main__":
    main()
