"""ImageNet-1K, SEW-ResNet-101 at T = 4, taught by its ANN. Data: `data/imagenet`.

The teacher is mmpretrain's own ResNet-101.
"""

_base_ = "./sew18_sakd_imagenet.py"

model = dict(backbone=dict(depth=101), head=dict(in_channels=2048))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/resnet/"
            "resnet101_8xb32_in1k_20210831-539c63f8.pth"
        ),
    )
]
