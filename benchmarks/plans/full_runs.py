#!/usr/bin/env python
"""GPU-hours of a full run of each shipped config, estimated from measurements.

  python -m benchmarks.plans.full_runs

The script counts the multiply-accumulates (MACs) of the ANN on tensors without memory, at the size
of a training image, separately for the backbone and the rest. A step of an ANN takes three
forwards. Then:

- V100, float32: training sustains RATE. Two values are published: NVIDIA's ResNet-50 with 357
  images per second and GPU, so 4.4e12 MACs per second, and upstream's RetinaNet-R50 with 53 ms per
  image in inference, so 4.1e12.
- H200, float16: the rate is the one that the ANN of benchmarks/results/gpu sustained in a training
  step.
- The ratio of a spiking backbone to its ANN is the one measured there (a ResNet-50 at 800x1333;
  other depths and sizes are assumed to behave alike). The teacher takes one more forward. A second
  pass at a prefix takes neck and head (and their training) once more.

The estimates do not include loading data, validation, or communication between GPUs.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.lib.measure import write_json
from sakd_dense.config.scopes import load_config
from sakd_dense.config.teacher import sakd_hook
from sakd_dense.config.twins import ann_of
from sakd_dense.config.types import spiking_backbone_cfgs

RATE = 4.2e12  # MACs a second
PICTURES = {"coco": 117_266, "imagenet": 1_281_167}  # of COCO, those with boxes
# Upstream's average training image on COCO: 4:3 at 800 pixels, padded to 32.
SIZES = {"coco": (800, 1088), "imagenet": (224, 224), "ade20k": (512, 512), "voc12": (512, 512)}
ROIS, POSITIVE = 512, 128  # sampled per image by upstream's two-stage recipes
TABLES = Path("benchmarks/results/gpu/h200.json")
OUT = Path("benchmarks/results/speed/full_runs.json")


@dataclass(frozen=True)
class Run:
    """One config: T x D, images, GMACs per image, and GPU-hours of the ANN and of the student."""

    config: str
    slots: str
    images: int
    backbone: float
    rest: float
    v100_ann: float
    v100: float
    h200_ann: float
    h200: float


def macs(module: nn.Module, *inputs: Any) -> tuple[float, Any]:
    """Returns the GMACs of a forward, and its output."""
    with FlopCounterMode(display=False) as counter:
        out = module(*inputs)
    return counter.get_total_flops() / 2e9, out


def rest_macs(model: nn.Module, features: Any) -> float:
    """Returns the GMACs of everything after the backbone, as training runs it."""
    total = 0.0
    if getattr(model, "neck", None) is not None:
        total, features = macs(model.neck, features)
    for name in ("rpn_head", "bbox_head", "decode_head", "auxiliary_head"):
        if getattr(model, name, None) is not None:
            total += macs(getattr(model, name), features)[0]
    roi = getattr(model, "roi_head", None)
    if roi is not None:
        channels = features[0].shape[1]
        heads = roi.bbox_head if isinstance(roi.bbox_head, nn.ModuleList) else [roi.bbox_head]
        for head in heads:
            total += macs(head, torch.empty(ROIS, channels, 7, 7, device="meta"))[0]
        if roi.with_mask:
            total += macs(roi.mask_head, torch.empty(POSITIVE, channels, 14, 14, device="meta"))[0]
    return total


@torch.no_grad()
def counted(cfg: Config, size: tuple[int, int]) -> tuple[float, float]:
    """Returns the GMACs per image of the ANN of a student's config: backbone, rest."""
    init_default_scope(cfg.default_scope)
    ann = ConfigDict(ann_of(cfg.model))
    for head in (ann.get("decode_head"), ann.get("auxiliary_head")):
        if head is not None and head.get("norm_cfg") is not None:
            head.norm_cfg = dict(type="BN")
    if ann.backbone.get("norm_cfg", {}).get("type") == "SyncBN":
        ann.backbone.norm_cfg = dict(type="BN")
    model = MODELS.build(ann).eval().to("meta")
    image: Tensor = torch.empty(1, 3, *size, device="meta")
    backbone, features = macs(model.backbone, image)
    return backbone, rest_macs(model, features)


def images_of(cfg: Config, data: str) -> int:
    if cfg.train_cfg.get("max_iters"):  # mmseg's recipes: four GPUs
        return int(cfg.train_cfg.max_iters * cfg.train_dataloader.batch_size * 4)
    return int(cfg.train_cfg.max_epochs * PICTURES[data])


@dataclass(frozen=True)
class Gpu:
    """MACs per second in training, and step times of spiking backbones relative to the ANN's."""

    rate: float
    binary: float
    counts: float


def gpu(key: str, neurons: str, rate: float | None = None) -> Gpu:
    """Returns the values of a table in benchmarks/results/gpu; ``rate`` defaults to its ANN's."""
    table = json.loads(TABLES.read_text())[key]
    ms = {
        row["side"]: row["ms"]
        for row in table["speed"]
        if row["work"] != "inference" and row["layout"] == "contiguous"
    }
    ann = ms["ANN, B"]
    if rate is None:
        height, width = table["arguments"]["size"]
        retinanet = load_config("configs/retinanet_sew50_sakd_coco.py")
        gmacs = counted(retinanet, (height, width))[0] * table["arguments"]["batch_size"]
        rate = 3e9 * gmacs / (ann / 1e3)
    return Gpu(rate, ms[f"SEW, T = 4, {neurons}"] / ann, ms[f"Spiking, 1x4, {neurons}"] / ann)


def estimate(file: Path, gpus: dict[str, Gpu]) -> Run | None:
    """Estimates the run of a config; returns None if it is not a student of a full data set."""
    data = next((d for d in SIZES if f"_{d}" in file.stem), None)
    if data is None:
        return None
    cfg = load_config(str(file))
    spiking = spiking_backbone_cfgs(cfg.model)[0]
    t, most = spiking["time_steps"], spiking.get("neuron", {}).get("D", 1)
    backbone, rest = counted(cfg, SIZES[data])
    images = images_of(cfg, data)
    # A classifier's second pass, 'auto' as well, runs almost nothing.
    twice = t > 1 and sakd_hook(cfg).get("prefixes", "auto") == "random"
    hours = {}
    for name, has in gpus.items():
        each = images * 1e9 / has.rate / 3600
        slower = has.binary if t > 1 else has.counts
        step = 3 * (backbone * slower + rest * (2 if twice else 1))
        hours[f"{name}_ann"] = each * 3 * (backbone + rest)
        hours[name] = each * (step + backbone + rest)
    return Run(file.name, f"{t}x{most}", images, backbone, rest, **hours)


def rounded(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}"


def main() -> None:
    logging.disable(logging.WARNING)
    gpus = dict(
        v100=gpu("speed, B = 2, float32", "spikingjelly", RATE),
        h200=gpu("speed, B = 8", "compiled"),
    )
    runs = [r for f in sorted(Path("configs").glob("*sakd*.py")) if (r := estimate(f, gpus))]
    header = "| config | T x D | images, M | GMACs an image: backbone + rest | V100: ANN | student "
    lines = [header + "| H200: ANN | student |", "|---" * 8 + "|"]
    for r in runs:
        hours = [rounded(h) for h in (r.v100_ann, r.v100, r.h200_ann, r.h200)]
        cells = [r.config, r.slots, f"{r.images / 1e6:.2f}", f"{r.backbone:.1f} + {r.rest:.1f}"]
        lines.append("| " + " | ".join([*cells, *hours]) + " |")
    table = "\n".join(lines)
    OUT.with_suffix(".md").write_text(f"# GPU-hours of full runs, estimated\n\n{table}\n")
    print(table)
    write_json(
        OUT, dict(gpus={k: asdict(g) for k, g in gpus.items()}, runs=list(map(asdict, runs)))
    )
    print(f"\nkept in {OUT} and {OUT.with_suffix('.md').name}")


if __name__ == "__main__":
    main()
