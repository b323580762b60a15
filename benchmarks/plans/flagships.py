#!/usr/bin/env python
"""Runs shipped configs of COCO, ADE20K and VOC as they are, for a few iterations each.

  python -m benchmarks.plans.flagships data/coco --configs mask-rcnn_sew50_sakd_coco fcn_sew50_sakd_ade20k

The runs only show that the configs work; they are not results. From a folder in COCO's layout
(annotations/, train2017/, val2017/) the script makes folders in the layouts of ADE20K and VOC,
whose label maps are COCO's polygons. The teacher is the config's ANN with its initial weights, so
it teaches nothing useful. The tools run each config in a separate process: some iterations with
--amp and with_cp, then a test of two images at T = 1, 2, 4 (or at the config's T, for counts). The
script needs 24 GiB.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from benchmarks.lib.measure import machine, write_json
from sakd_dense.config.scopes import load_config
from sakd_dense.config.twins import ann_of

OUT = Path("benchmarks/results/speed/flagships.json")
# VOC's classes by COCO's names, in VOC's order; 0 is the background.
VOC = (
    *("airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorcycle", "person", "potted plant", "sheep", "couch"),
    *("train", "tv"),
)


def label_maps(coco: Path, split: str, indices: dict[str, int]) -> dict[str, np.ndarray]:
    """Returns each image's label map ``[H, W]`` by name; a category's polygons get its index."""
    content = json.loads((coco / f"annotations/instances_{split}.json").read_text())
    index = {c["id"]: indices.get(c["name"], 0) for c in content["categories"]}
    maps = {
        image["id"]: np.zeros((image["height"], image["width"]), np.uint8)
        for image in content["images"]
    }
    for annotation in content["annotations"]:
        if isinstance(annotation.get("segmentation"), list):
            outlines = [np.int32(p).reshape(-1, 2) for p in annotation["segmentation"]]
            cv2.fillPoly(maps[annotation["image_id"]], outlines, index[annotation["category_id"]])
    return {image["file_name"]: maps[image["id"]] for image in content["images"]}


def write_pair(picture: Path, labels: np.ndarray, image: Path, map_: Path) -> None:
    """Links the image, and writes its label map."""
    for file in (image, map_):
        file.parent.mkdir(parents=True, exist_ok=True)
    if not image.exists():
        image.symlink_to(picture.resolve())
    cv2.imwrite(str(map_), labels)


def make_ade20k(coco: Path, data: Path) -> None:
    names = json.loads((coco / "annotations/instances_train2017.json").read_text())["categories"]
    indices = {c["name"]: number for number, c in enumerate(names, 1)}
    root = data / "ade/ADEChallengeData2016"
    for ours, split in (("training", "train2017"), ("validation", "val2017")):
        for name, labels in label_maps(coco, split, indices).items():
            image, map_ = root / "images" / ours / name, root / "annotations" / ours / name
            write_pair(coco / split / name, labels, image, map_.with_suffix(".png"))


def make_voc(coco: Path, data: Path) -> None:
    indices = {name: number for number, name in enumerate(VOC, 1)}
    root = data / "VOCdevkit/VOC2012"
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True, exist_ok=True)
    for split, files, folder in (
        ("train2017", ("train", "aug"), "SegmentationClass"),
        ("val2017", ("val",), "SegmentationClass"),
    ):
        maps = label_maps(coco, split, indices)
        for name, labels in maps.items():
            for place in (folder, f"{folder}Aug"):
                map_ = (root / place / name).with_suffix(".png")
                write_pair(coco / split / name, labels, root / "JPEGImages" / name, map_)
        for file in files:
            (lists / f"{file}.txt").write_text("".join(f"{Path(n).stem}\n" for n in maps))


def with_masks(coco: Path, out: Path) -> None:
    """Writes the training annotations of ``coco`` without those that have no mask.

    An instance segmentor needs a mask for each of them.
    """
    content = json.loads((coco / "annotations/instances_train2017.json").read_text())
    content["annotations"] = [a for a in content["annotations"] if a.get("segmentation")]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content))


def teacher(cfg: Config, file: Path) -> None:
    """Saves the ANN of ``cfg`` with its initial weights, as a run would."""
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(ann_of(cfg.model))
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=model.state_dict(), meta={}), file)


def first_images(cfg: Config, part: str, count: int) -> list[str]:
    """Returns the options with which a loader of ``cfg`` reads only its first images."""
    data, place = cfg[part].dataset, f"{part}.dataset"
    if "datasets" in data:
        return [f"{place}.datasets.{i}.indices={count}" for i in range(len(data.datasets))]
    return [f"{place}.indices={count}"]


def run(config: str, iterations: int, folder: Path, coco: Path) -> dict[str, Any]:
    """Trains and tests one config, and returns the results."""
    file = f"configs/{config}.py"
    cfg = load_config(file)
    weights = folder / "teacher.pth"
    teacher(cfg, weights)
    by_epoch = "max_epochs" in cfg.train_cfg
    batch = cfg.train_dataloader.batch_size
    options = first_images(cfg, "train_dataloader", batch * iterations)
    options += first_images(cfg, "val_dataloader", 1) + first_images(cfg, "test_dataloader", 2)
    options += ["train_dataloader.num_workers=0", "train_dataloader.persistent_workers=False"]
    options += ["model.backbone.with_cp=True", f"custom_hooks.0.teacher.checkpoint={weights}"]
    options += ["default_hooks.logger.interval=1"]
    if config.startswith("mask"):
        annotations = (folder / "train.json").absolute()
        with_masks(coco, annotations)
        options.append(f"train_dataloader.dataset.ann_file={annotations}")
    options += (
        ["train_cfg.max_epochs=1"]
        if by_epoch
        else [
            f"train_cfg.max_iters={iterations}",
            f"train_cfg.val_interval={iterations}",
            f"default_hooks.checkpoint.interval={iterations}",
        ]
    )
    start = time.perf_counter()
    trained = tool("train", file, "--amp", "--work-dir", str(folder), "--cfg-options", *options)
    seconds = time.perf_counter() - start
    found: dict[str, Any] = dict(config=config, batch=batch, trained=trained.returncode == 0)
    found["seconds_of_run"] = round(seconds)
    found["peak_gib"] = trained.peak_gib
    times = re.findall(r"(?:Epoch|Iter)\(train\).* time: ([\d.]+)", trained.stdout)
    found["seconds_an_iteration"] = [float(t) for t in times]
    losses = re.findall(r"(loss\w*|\w+\.loss\w*): ([\d.naif-]+)", trained.stdout)
    found["losses"] = dict(losses[-40:])
    if trained.returncode:
        found["error"] = trained.stderr[-1500:]
        return found
    checkpoint = next(iter(sorted(folder.glob("epoch_1.pth")) or sorted(folder.glob("iter_*.pth"))))
    steps = [] if cfg.model.backbone.get("time_steps") == 1 else ["--time-steps", "1", "2", "4"]
    arguments = [*steps, "--timed-batches", "0", "--work-dir", str(folder)]
    two = ["--cfg-options", *first_images(cfg, "test_dataloader", 2)]
    tested = tool("test", file, str(checkpoint), *arguments, *two)
    found["tested"] = tested.returncode == 0
    found["table"] = tested.stdout.rpartition(str(checkpoint))[2].strip().splitlines()
    if tested.returncode:
        found["error"] = tested.stderr[-1500:]
    return found


@dataclass
class Ended:
    """A tool's exit status, outputs and peak memory in GiB."""

    returncode: int
    stdout: str
    stderr: str
    peak_gib: float


def tool(name: str, *arguments: str) -> Ended:
    command = [sys.executable, f"tools/{name}.py", *arguments]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)  # the usage of this child, not of all so far
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        gib = round(usage.ru_maxrss / 2**20, 1)
        return Ended(process.returncode, out.read(), err.read(), gib)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("coco", type=Path)
    parser.add_argument("--configs", nargs="+", required=True)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--out", default=OUT, type=Path)
    args = parser.parse_args()
    data = Path("data")
    if any("ade20k" in name for name in args.configs):
        make_ade20k(args.coco, data)
    if any("voc12" in name for name in args.configs):
        make_voc(args.coco, data)
    content = json.loads(args.out.read_text()) if args.out.is_file() else dict(rows=[])
    for name in args.configs:
        row = run(name, args.iterations, Path("work_dirs/flagships") / name, args.coco)
        content["rows"] = [r for r in content["rows"] if r["config"] != name] + [row]
        content["machine"] = machine()
        write_json(args.out, content)
        print({k: v for k, v in row.items() if k not in ("losses", "table")}, flush=True)


if __name__ == "__main__":
    main()
