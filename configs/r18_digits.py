"""The ANN teacher on single digits: a narrow ResNet-18, the backbone of the digit scenes' models.

No data set is needed: the pictures are generated in `data/single_digits` on first use.
"""

_base_ = "mmpretrain::resnet/resnet18_8xb16_cifar10.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

# Half as wide as a common ResNet-18; its features can go on to detection and segmentation.
model = dict(
    backbone=dict(type="ResNet", base_channels=32, stem_channels=32), head=dict(in_channels=256)
)

data_preprocessor = dict(mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True)
pipeline = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, type="DigitsDataset", split="train", pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True, type="DigitsDataset", split="val", test_mode=True, pipeline=pipeline
    ),
)
test_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True, type="DigitsDataset", split="test", test_mode=True, pipeline=pipeline
    ),
)
auto_scale_lr = dict(base_batch_size=32)

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=1e-3, weight_decay=0.01),
)
param_scheduler = dict(
    _delete_=True,
    type="CosineAnnealingLR",
    T_max=max_epochs,
    by_epoch=True,
    convert_to_iter_based=True,
)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1))
