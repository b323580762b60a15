"""configs/sew50_sakd_imagenet.py on one image of each class, 750 of them for distillation.

`python benchmarks/imagenet_lists.py data/imagenet1000` writes the lists of images. The teacher is a
ResNet-50 with caffe's strides. Training uses no labels.
"""

_base_ = "../../configs/sew50_sakd_imagenet.py"

model = dict(backbone=dict(style="caffe"), head=dict(loss=dict(loss_weight=0.0)))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="data/resnet50_imagenet_caffe_rgb.pth"),
        transfer=False,  # `load_from` contains level 1, with re-estimated BatchNorm
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

# The shipped learning rate, scaled to the batch.
optim_wrapper = dict(optimizer=dict(lr=0.01 * 16 / 256))
