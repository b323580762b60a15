"""ImageNet-1K, SEW-ResNet-50 at T = 4, by the recipe of SAKD's authors. Data: `data/imagenet`.

The recipe is that of `sew18_sakd-official_imagenet.py`, with half its batch size.
"""

_base_ = "./sew18_sakd-official_imagenet.py"

model = dict(backbone=dict(depth=50), head=dict(in_channels=2048))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://github.com/huggingface/pytorch-image-models/releases/download/"
            "v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth"
        ),
        features=dict(type="FeatureMSE", weight=0.04, adaptor=1),
        responses=dict(cls=10.0, tau=1.0),
        prefixes=None,
    )
]
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)
