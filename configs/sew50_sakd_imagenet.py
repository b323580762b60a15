"""ImageNet-1K, SEW-ResNet-50 at T = 4, taught by its ANN. Data: `data/imagenet`.

The teacher is mmpretrain's own ResNet-50.
"""

_base_ = "./sew18_sakd_imagenet.py"

model = dict(backbone=dict(depth=50), head=dict(in_channels=2048))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/resnet/"
            "resnet50_8xb32_in1k_20210831-ea4938fc.pth"
        ),
    )
]
