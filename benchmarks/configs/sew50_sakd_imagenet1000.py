"""configs/sew50_sakd_imagenet.py on one image of each class, 750 of them for distillation.

`python -m benchmarks.accuracy.imagenet_small data/imagenet1000` writes the lists of images and runs SEW and
Spiking, T = 4 and 1x4. The teacher is a ResNet-50 with caffe's strides. Training uses no labels.
"""

_base_ = "../../configs/sew50_sakd_imagenet.py"

model = dict(backbone=dict(style="caffe"), head=dict(loss=dict(loss_weight=0.0)))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="data/resnet50_imagenet_caffe_rgb.pth"),
        transfer=False,  # `load_from` contains level 1, with re-estimated BatchNorm
        prefixes=None,  # an hour is short for one T
    ),
]
load_from = "work_dirs/imagenet1000/level1.pth"

data = dict(_delete_=True, type="CustomDataset", data_root="", data_prefix="data/imagenet1000")
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data, ann_file="work_dirs/imagenet1000/train.txt", pipeline={{_base_.train_pipeline}}
    ),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data, ann_file="work_dirs/imagenet1000/val.txt", pipeline={{_base_.test_pipeline}}
    ),
)
test_dataloader = val_dataloader

# AdamW as in the other runs on two cores, and a schedule for an hour on one of them.
max_epochs = 6
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=3e-4, weight_decay=0.01),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", T_max=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=1, max_keep_ckpts=1))
