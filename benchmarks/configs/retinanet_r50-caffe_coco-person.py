"""People in COCO images, for two CPU cores: RetinaNet from ImageNet's weights.

The config is upstream's recipe for caffe's ResNet-50, reduced for the two cores: 352 pixels, a neck
and head of 128 channels with two convolutions each, strides 8 to 64, four epochs. The data are in
`data/coco_person`. The weights of ImageNet are in `data/resnet50_imagenet_caffe_mmdet.pth`, with
torchvision's names, BGR, std 1.
"""

_base_ = "mmdet::retinanet/retinanet_r50-caffe_fpn_1x_coco.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(
    backbone=dict(init_cfg=dict(checkpoint="data/resnet50_imagenet_caffe_mmdet.pth")),
    neck=dict(out_channels=128, num_outs=4),
    bbox_head=dict(
        num_classes=1,
        in_channels=128,
        feat_channels=128,
        stacked_convs=2,
        anchor_generator=dict(strides=[8, 16, 32, 64]),
    ),
)

data_root = "data/coco_person/"
metainfo = dict(classes=("person",))
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(352, 352), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(352, 352), keep_ratio=True),
    # After Resize, because the metric compares in pixels of the original image.
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file="annotations/train.json",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file="annotations/val.json",
        data_prefix=dict(img="val/"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file="annotations/test.json",
        data_prefix=dict(img="test/"),
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = dict(ann_file=data_root + "annotations/test.json")

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=2e-4, weight_decay=0.01),
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
    logger=dict(interval=20),
    checkpoint=dict(interval=1, max_keep_ckpts=1, save_best="coco/bbox_mAP"),
)
