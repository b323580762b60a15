"""ImageNet-1K, Spiking-ResNet-18 at T = 4, taught by its ANN. Data: `data/imagenet`.

The teacher is mmpretrain's own ResNet-18.
"""

_base_ = "./sew18_sakd_imagenet.py"

model = dict(backbone=dict(type="SpikingResNet"))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/resnet/"
            "resnet18_8xb32_in1k_20210831-fbbb1da6.pth"
        ),
    )
]
