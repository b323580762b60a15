"""A config of upstream's RetinaNet small enough to train, its data, and a teacher for it."""

import json
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

CONFIG = """
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
model = dict(
    backbone=dict(base_channels=4, init_cfg=None),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8),
    bbox_head=dict(
        num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1,
        anchor_generator=dict(scales_per_octave=1, ratios=[1.0])),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs'),
]
dataset = dict(
    type='CocoDataset', ann_file='ann.json', data_root=ROOT, data_prefix=dict(img=''),
    metainfo=dict(classes=('a', 'b')), pipeline=pipeline, _delete_=True)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dataset)
val_dataloader = None
val_cfg = None
val_evaluator = None
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
log_level = 'WARNING'
"""


def write_config(folder: Path) -> str:
    """The config's file in ``folder``, beside its data."""
    draw(folder)
    (folder / "ann.py").write_text(CONFIG.replace("ROOT", repr(str(folder))))
    return str(folder / "ann.py")


def draw(folder: Path) -> None:
    """Four images with a box each."""
    # Not 64 pixels: there an FPN's last convolution meets the fault in CPUAmpOptimWrapper's notes.
    size = 96
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for i in range(4):
        mmcv.imwrite(rng.integers(0, 255, (size, size, 3), np.uint8), str(folder / f"{i}.png"))
        images.append(dict(id=i, file_name=f"{i}.png", height=size, width=size))
        boxes.append(
            dict(id=i, image_id=i, category_id=i % 2, bbox=[8, 8, 32, 32], area=1024, iscrowd=0)
        )
    categories = [dict(id=0, name="a"), dict(id=1, name="b")]
    coco = dict(images=images, annotations=boxes, categories=categories)
    (folder / "ann.json").write_text(json.dumps(coco))


def teacher_of(config: str, folder: Path, **changes) -> str:
    """The checkpoint of an ANN with random weights."""
    cfg = Config.fromfile(config)
    cfg.model.merge_from_dict(changes) if changes else None
    init_default_scope("mmdet")
    model = MODELS.build(cfg.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), folder / "teacher.pth")
    return str(folder / "teacher.pth")
