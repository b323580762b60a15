"""The ANN teacher on the generated digit scenes: a narrow RetinaNet, ResNet-18, from scratch.

No data set is needed: the scenes are generated in `data/digits` on first use.
"""

_base_ = "mmdet::retinanet/retinanet_r18_fpn_1x_coco.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(
    # No pretrained weights, hence nothing to freeze. Half as wide as a common ResNet-18.
    backbone=dict(base_channels=32, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=3),
    bbox_head=dict(
        num_classes=10,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # Digits are 18 to 36 pixels high, anchors from 16.
        anchor_generator=dict(octave_base_scale=2, strides=[8, 16, 32]),
    ),
)

dataset_type = "DigitScenesDataset"
data_root = "data/digits"
# No flips: a mirrored digit is another sign.
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape")),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale_factor=1.0),  # the head asks for the scale factor
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        # `instances` lets CocoMetric take the true boxes from the data set itself.
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
    ),
]
# A scene is read in half a millisecond: worker processes would cost more than they save.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split="train",
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split="val",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split="test",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
# Every digit is small by COCO's measure, so its mAP by size says nothing here.
val_evaluator = dict(ann_file=None, metric_items=["mAP", "mAP_50", "mAP_75"])
test_evaluator = val_evaluator

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(
        type="CosineAnnealingLR",
        T_max=max_epochs,
        begin=0,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=8)

default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=5, max_keep_ckpts=1),
)
