#!/usr/bin/env python
"""Speed of backbones that run upstream's own forward, compared with their ANN twins.

  python -m benchmarks.speed.upstream                    # CSPDarknet (YOLOX-s), HRNet-W18, UNet
  python -m benchmarks.speed.upstream mmdet::regnet/retinanet_regnetx-1.6GF_fpn_1x_coco.py

The script measures the backbone of each config at T = 4, B = 2, 128x128: inference (eval mode,
BatchNorm folded on our side) and a training step (forward, backward; no optimizer). The sides take
turns in one process:

  spiking    the backbone with Spiking before its type
  ANN, T*B   upstream's on T*B images: the same convolutions, its activations instead of neurons
  ANN, B     the same on B images
  teacher    only in inference: the ANN on B images as SAKDHook runs it, folded and channels last
"""

import argparse
import copy
import statistics
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from benchmarks.lib.measure import in_turns, machine, prepare, ratio, write_json
from benchmarks.speed.backbone import folded, inference, training
from sakd_dense.config.models import drop_checkpoints
from sakd_dense.config.scopes import config_file
from sakd_dense.config.twins import ann_of, spiking_of
from sakd_dense.config.types import type_name
from sakd_dense.distill.teacher import ready
from sakd_dense.neurons import compile_neurons
from sakd_dense.transfer.batchnorm import reestimate

CONFIGS = (
    "mmdet::yolox/yolox_s_8xb8-300e_coco.py",
    "mmdet::hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py",
    "mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py",
)
SPIKING, TWIN, ONE, TEACHER = "spiking", "ANN, T*B", "ANN, B", "teacher"


def built(model: ConfigDict) -> nn.Module:
    backbone = MODELS.build(copy.deepcopy(model["backbone"]))
    backbone.init_weights()
    return backbone


def compare(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Returns the medians of every work and side, and our ratio to ``TWIN``."""
    cfg = Config.fromfile(config_file(name))
    init_default_scope(cfg.default_scope)
    drop_checkpoints(cfg.model)
    model = ConfigDict(type=cfg.model.type, backbone=cfg.model.backbone)
    if (model.backbone.get("norm_cfg") or {}).get("type") == "SyncBN":
        model.backbone.norm_cfg = dict(type="BN")
    spiking = ConfigDict(spiking_of(model, args.time_steps, cfg.default_scope))
    torch.manual_seed(0)
    images = torch.randn(args.batch_size, 3, *args.size)
    ours, twin = built(spiking), built(ConfigDict(ann_of(spiking)))
    compile_neurons(ours)  # in the first round
    reestimate(ours, [images], 1)  # statistics with which every layer spikes
    sides = {
        SPIKING: (ours, images),
        TWIN: (twin, images.repeat(args.time_steps, 1, 1, 1)),
        ONE: (twin, images),
    }
    found: dict[str, Any] = dict(config=name, backbone=type_name(spiking.backbone.type))
    for title, work in (("inference", inference), ("training step", training)):
        turns = {side: work(*pair) for side, pair in sides.items()}
        if work is inference:
            turns[SPIKING] = inference(*folded(*sides[SPIKING]))
            teacher = nn.ModuleDict(dict(backbone=copy.deepcopy(twin)))
            student = nn.ModuleDict(dict(backbone=ours))
            turns[TEACHER] = inference(ready(teacher, student).backbone, images)
        seconds = in_turns(turns, args.rounds)
        found[title] = {side: 1000 * statistics.median(s) for side, s in seconds.items()}
        found[title]["ratio"] = ratio(seconds, SPIKING, TWIN)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    columns = SPIKING, TWIN, ONE, TEACHER
    titles = " | ".join(f"{side}, ms" for side in columns)
    lines = [f"| backbone | work | {titles} | {SPIKING} / {TWIN} |", "|---" * 7 + "|"]
    for row in rows:
        for work in ("inference", "training step"):
            found = (row[work].get(side) for side in columns)
            cells = " | ".join("" if ms is None else f"{ms:.0f}" for ms in found)
            lines.append(f"| {row['backbone']} | {work} | {cells} | {row[work]['ratio']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    parser.add_argument("--time-steps", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 128))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args()
    prepare()
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.configs:
        rows.append(compare(name, args))
        print(table(rows[-1:]), flush=True)
    print(f"\n{table(rows)}")
    if args.out:
        write_json(args.out, dict(vars(args), machine=machine(), rows=rows))


if __name__ == "__main__":
    main()
