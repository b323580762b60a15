"""ImageNet-1K, SEW-ResNet-34 at T = 4, taught by its ANN. Data: `data/imagenet`.

The teacher is mmpretrain's own ResNet-34.
"""

_base_ = "./sew18_sakd_imagenet.py"

model = dict(backbone=dict(depth=34))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/resnet/"
            "resnet34_8xb32_in1k_20210831-f257d4e6.pth"
        ),
    )
]
