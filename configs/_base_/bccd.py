"""BCCD (blood cells) at 192x144, and the schedule of a teacher on it.

Data: https://github.com/Shenggan/BCCD_Dataset; copy or link its folder `BCCD` to
`data/bccd`.
"""

_base_ = [
    "mmdet::_base_/datasets/coco_detection.py",
    "mmdet::_base_/schedules/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
]
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

dataset_type = "BCCDDataset"
data_root = "data/bccd"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(192, 144), keep_ratio=True),
    dict(type="RandomFlip", prob=[0.25, 0.25], direction=["horizontal", "vertical"]),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(192, 144), keep_ratio=True),
    # After Resize: the metric compares in the pixels of the original image.
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        # `instances` lets CocoMetric take the true boxes from the data set itself.
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
    ),
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        ann_file="ImageSets/Main/train.txt",
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        ann_file="ImageSets/Main/val.txt",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        ann_file="ImageSets/Main/test.txt",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(ann_file=None)
test_evaluator = dict(ann_file=None)

max_epochs = 60
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
# One GPU, or a CPU, with 8 images a batch.
auto_scale_lr = dict(base_batch_size=8)

default_hooks = dict(
    logger=dict(interval=13),
    # The learning rate ends at 0: the last epoch is the one to keep.
    checkpoint=dict(interval=10, max_keep_ckpts=1, save_best="coco/bbox_mAP"),
)
