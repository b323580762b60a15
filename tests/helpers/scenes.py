"""Tiny spiking detectors and segmentors, and four small pictures with boxes to test them on."""

import inspect
import json
from pathlib import Path
from typing import Any

import cv2
import mmengine.registry
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, Registry, init_default_scope
from mmengine.structures import InstanceData
from torch import nn

BACKBONE = dict(type="SEWResNet", depth=18, base_channels=8, time_steps=4)


def retinanet(**backbone: Any) -> dict[str, Any]:
    """The config of a RetinaNet whose every score is high enough to be seen."""
    return dict(
        type="mmdet.RetinaNet",
        data_preprocessor=dict(
            type="mmdet.DetDataPreprocessor",
            mean=[120.0] * 3,
            std=[60.0] * 3,
            pad_size_divisor=32,
        ),
        backbone={**BACKBONE, **backbone},
        neck=dict(
            type="mmdet.FPN",
            in_channels=[8, 16, 32, 64],
            out_channels=8,
            start_level=1,
            add_extra_convs="on_input",
            num_outs=3,
        ),
        bbox_head=dict(
            type="mmdet.RetinaHead",
            num_classes=2,
            in_channels=8,
            feat_channels=8,
            stacked_convs=1,
            init_cfg=dict(type="Normal", layer="Conv2d", std=0.3),
            anchor_generator=dict(
                type="mmdet.AnchorGenerator",
                octave_base_scale=2,
                scales_per_octave=1,
                ratios=[1.0],
                strides=[8, 16, 32],
            ),
            bbox_coder=dict(
                type="mmdet.DeltaXYWHBBoxCoder",
                target_means=[0.0] * 4,
                target_stds=[1.0] * 4,
            ),
        ),
        train_cfg=dict(
            assigner=dict(
                type="mmdet.MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type="mmdet.PseudoSampler"),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=dict(
            nms_pre=50,
            min_bbox_size=0,
            score_thr=0.01,
            nms=dict(type="nms", iou_threshold=0.5),
            max_per_img=20,
        ),
    )


def segmentor(**backbone: Any) -> dict[str, Any]:
    """The config of an FCN that slides a 32x32 window over its image."""
    return dict(
        type="mmseg.EncoderDecoder",
        data_preprocessor=dict(type="mmseg.SegDataPreProcessor", mean=[120.0] * 3, std=[60.0] * 3),
        backbone={**BACKBONE, **backbone},
        decode_head=dict(
            type="mmseg.FCNHead",
            in_channels=64,
            in_index=3,
            channels=8,
            num_convs=1,
            num_classes=3,
            norm_cfg=dict(type="BN"),
            loss_decode=dict(type="mmseg.CrossEntropyLoss"),
        ),
        test_cfg=dict(mode="slide", crop_size=(32, 32), stride=(24, 24)),
    )


def build(cfg: dict[str, Any], seed: int = 0) -> nn.Module:
    """The model in eval mode, its BatchNorm statistics those of some noise, so that it fires."""
    scope = cfg["type"].partition(".")[0]
    init_default_scope("mmdet" if scope not in ("mmseg", "mmpretrain") else scope)
    torch.manual_seed(seed)
    model = MODELS.build(ConfigDict(cfg))
    model.init_weights()
    core = getattr(model, "module", model)
    core.backbone.train()
    norms = [m for m in core.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over all batches: a few are enough
    with torch.no_grad():
        for _ in range(3):
            core.backbone(torch.randn(4, 3, 64, 64))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return model.eval()


def images(*sizes: tuple[int, int], seed: int = 0) -> list[torch.Tensor]:
    """Noise, uint8, ``[3, H, W]`` each."""
    make = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 256, (3, *s), generator=make, dtype=torch.uint8) for s in sizes]


def detection_batch(*sizes: tuple[int, int], seed: int = 0, **meta: Any) -> dict[str, list]:
    """What a dataloader gives a detector."""
    from mmdet.structures import DetDataSample

    samples = []
    for h, w in sizes:
        sample = DetDataSample(
            metainfo=dict(
                img_id=len(samples),
                ori_shape=(h, w),
                img_shape=(h, w),
                scale_factor=(1.0, 1.0),
                **meta,
            )
        )
        sample.gt_instances = InstanceData(bboxes=torch.rand(2, 4), labels=torch.zeros(2).long())
        samples.append(sample)
    return dict(inputs=images(*sizes, seed=seed), data_samples=samples)


def write_scenes(root: Path, count: int = 4, size: int = 64) -> None:
    """``count`` pictures with one bright square each, and their ``instances.json``."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    pictures, boxes = [], []
    for i in range(count):
        picture = rng.integers(0, 80, (size, size, 3), dtype=np.uint8)
        x, y = (int(v) for v in rng.integers(4, size - 24, 2))
        picture[y : y + 20, x : x + 20] = 230
        cv2.imwrite(str(root / f"{i}.png"), picture)
        pictures.append(dict(id=i, file_name=f"{i}.png", height=size, width=size))
        boxes.append(
            dict(id=i + 1, image_id=i, category_id=1, bbox=[x, y, 20, 20], area=400, iscrowd=0)
        )
    categories = [dict(id=1, name="square"), dict(id=2, name="disc")]
    content = dict(images=pictures, annotations=boxes, categories=categories)
    (root / "instances.json").write_text(json.dumps(content))


def detection_config(root: Path, model: dict[str, Any], **changes: Any) -> Config:
    """A config that trains, validates and tests ``model`` on :func:`write_scenes`."""
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="Resize", scale=(64, 64), keep_ratio=True),
        dict(
            type="PackDetInputs",
            meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        ),
    ]
    dataset = dict(
        type="CocoDataset",
        data_root=str(root),
        ann_file="instances.json",
        data_prefix=dict(img=""),
        metainfo=dict(classes=("square", "disc")),
        pipeline=pipeline,
    )
    test_data = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(dataset, test_mode=True),
    )
    evaluator = dict(type="CocoMetric", ann_file=str(root / "instances.json"), metric="bbox")
    content = dict(
        default_scope="mmdet",
        custom_imports=dict(imports=["sakd_dense"], allow_failed_imports=False),
        model=model,
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dict(dataset),
        ),
        val_dataloader=test_data,
        test_dataloader=test_data,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=2, val_interval=1),
        val_cfg=dict(type="ValLoop"),
        test_cfg=dict(type="TestLoop"),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-4)),
        default_hooks=dict(visualization=dict(type="DetVisualizationHook")),
        visualizer=dict(
            type="DetLocalVisualizer",
            name="visualizer",
            vis_backends=[dict(type="LocalVisBackend")],
        ),
        work_dir=str(root / "work"),
        log_level="WARNING",
    )
    return Config({**content, **changes})


def write_pure_python(cfg: Config, path: Path) -> None:
    """``cfg`` in mmengine's pure Python style: classes instead of names, no default scope."""
    imports = {"from sakd_dense.version import __version__"}  # makes it one without any class

    def text(value: Any) -> str:
        if isinstance(value, dict):
            pairs = [f"{k!r}: {kind(v) if k == 'type' else text(v)}" for k, v in value.items()]
            return "{" + ", ".join(pairs) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(text, value)) + "]"
        if isinstance(value, tuple):
            return "(" + "".join(f"{text(v)}, " for v in value) + ")"
        return repr(value)

    def kind(name: str) -> str:
        for root in vars(mmengine.registry).values():
            if isinstance(root, Registry):
                with root.switch_scope_and_registry(cfg.default_scope) as registry:
                    cls = registry.get(name)
                if inspect.isclass(cls):
                    imports.add(f"from {cls.__module__} import {cls.__name__}")
                    return cls.__name__
        return repr(name)  # an operation of MMCV

    init_default_scope(cfg.default_scope)
    content = cfg.to_dict() | dict(default_scope=None)
    del content["custom_imports"]
    lines = [f"{k} = {text(v)}" for k, v in content.items()]
    path.write_text("\n".join([*sorted(imports), *lines]) + "\n")


def write_pure_config(folder: Path) -> str:
    """:func:`detection_config` on :func:`write_scenes` in ``folder``, in pure Python style."""
    write_scenes(folder)
    write_pure_python(detection_config(folder, retinanet()), folder / "pure.py")
    return str(folder / "pure.py")


def write_checkpoint(model: nn.Module, path: Path, **meta: Any) -> str:
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)
