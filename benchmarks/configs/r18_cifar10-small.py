"""CIFAR-10 for two CPU cores: 1000 images per class at 64x64, ResNet-18 at half its width.

The model has the stem of the dense tasks instead of CIFAR's, so that its backbone can start theirs.
For this stem, images are enlarged to twice their size. The data are 32x32 images in one folder per
class, `data/cifar10_jpg/{train,test}/<class>/`. `val` consists of 100 other images per class of
`train`.
"""

_base_ = "mmpretrain::resnet/resnet18_8xb16_cifar10.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type="ResNet",
        depth=18,
        base_channels=32,
        stem_channels=32,
        out_indices=(0, 1, 2, 3),
    ),
    head=dict(in_channels=256),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="RandomCrop", crop_size=32, padding=4),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="Resize", scale=64),
    dict(type="PackInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=64),
    dict(type="PackInputs"),
]
images = dict(_delete_=True, type="CustomDataset", data_root="data/cifar10_jpg", with_label=True)
# 5000 images per class: the first 1000 for training, the last 100 for choices.
train_dataloader = dict(
    batch_size=50,
    dataset=dict(
        **images,
        data_prefix="train",
        pipeline=train_pipeline,
        indices=[5000 * c + i for c in range(10) for i in range(1000)],
    ),
)
val_dataloader = dict(
    batch_size=100,
    dataset=dict(
        **images,
        data_prefix="train",
        pipeline=test_pipeline,
        indices=[5000 * c + 4900 + i for c in range(10) for i in range(100)],
    ),
)
test_dataloader = dict(
    batch_size=100, dataset=dict(**images, data_prefix="test", pipeline=test_pipeline)
)

max_epochs = 30
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
default_hooks = dict(
    checkpoint=dict(interval=10, max_keep_ckpts=1, save_best="accuracy/top1"),
)
