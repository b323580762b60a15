"""ImageNet-1K, Spiking-ResNet-34 at T = 4, taught by its ANN. Data: `data/imagenet`.

The teacher is mmpretrain's own ResNet-34.
The paper reports 70.04 % top-1 at this depth (not run here).
"""

_base_ = "./sew18_sakd_imagenet.py"

model = dict(backbone=dict(depth=34, type="SpikingResNet"))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/resnet/"
            "resnet34_8xb32_in1k_20210831-f257d4e6.pth"
        ),
    )
]
