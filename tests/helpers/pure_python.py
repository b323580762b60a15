"""A config in MMEngine's new style: classes in the place of names, and no default scope."""

from pathlib import Path

BASE = """
from mmdet.models import (
    FPN, DetDataPreprocessor, FocalLoss, L1Loss, RetinaHead, RetinaNet)
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder
from mmdet.datasets import CocoDataset
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import PackDetInputs
from mmengine.dataset import DefaultSampler
from sakd_dense.backbones import SEWResNet

default_scope = None
model = dict(
    type=RetinaNet,
    data_preprocessor=dict(
        type=DetDataPreprocessor, mean=[120.0] * 3, std=[60.0] * 3, pad_size_divisor=32),
    backbone=dict(type=SEWResNet, depth=18, base_channels=8, time_steps=2),
    neck=dict(
        type=FPN, in_channels=[8, 16, 32, 64], out_channels=8, start_level=1,
        add_extra_convs='on_input', num_outs=3),
    bbox_head=dict(
        type=RetinaHead, num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1,
        anchor_generator=dict(
            type=AnchorGenerator, octave_base_scale=2, scales_per_octave=1, ratios=[1.0],
            strides=[8, 16, 32]),
        bbox_coder=dict(type=DeltaXYWHBBoxCoder),
        loss_cls=dict(type=FocalLoss, use_sigmoid=True),
        loss_bbox=dict(type=L1Loss)),
    test_cfg=dict(nms_pre=50, score_thr=0.01, nms=dict(type='nms', iou_threshold=0.5)))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=CocoDataset, data_root=ROOT, ann_file='instances.json', data_prefix=dict(img=''),
        test_mode=True,
        metainfo=dict(classes=('square', 'disc')),
        pipeline=[
            dict(type=LoadImageFromFile),
            dict(
                type=PackDetInputs,
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
        ]))
"""
TOP = """
from mmengine.config import read_base

with read_base():
    from .base import *
"""


def write_pure_config(folder: Path) -> str:
    """A small spiking RetinaNet that is tested on the pictures of ``scenes.write_scenes``."""
    (folder / "base.py").write_text(BASE.replace("ROOT", repr(str(folder))))
    (folder / "top.py").write_text(TOP)
    return str(folder / "top.py")
