"""ImageNet-1K, SEW-ResNet-152 at T = 4, taught by its ANN. Data: `data/imagenet`.

The teacher is mmpretrain's own ResNet-152.
The paper reports 77.30 % top-1 at this depth (not run here).
"""

_base_ = "./sew18_sakd_imagenet.py"

model = dict(backbone=dict(depth=152), head=dict(in_channels=2048))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/resnet/"
            "resnet152_8xb32_in1k_20210901-4d7582fa.pth"
        ),
    )
]
