"""ImageNet-1K, SEW-ResNet-34 at T = 4, by the recipe of SAKD's authors. Data: `data/imagenet`.

The recipe is that of `sew18_sakd-official_imagenet.py`.
"""

_base_ = "./sew18_sakd-official_imagenet.py"

model = dict(backbone=dict(depth=34))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://github.com/huggingface/pytorch-image-models/releases/download/"
            "v0.1-rsb-weights/resnet34_a1_0-46f8f793.pth"
        ),
        features=dict(type="FeatureMSE", weight=0.04, adaptor=1),
        responses=dict(cls=10.0, tau=1.0),
        prefixes=None,
    )
]
