"""ImageNet-1K, SEW-ResNet-18 at T = 4, taught by its ANN. Data: `data/imagenet`.

The teacher is mmpretrain's own ResNet-18.

The schedule is ours and not measured on ImageNet. Weights that are trained already need a tenth of
the learning rate from scratch, a cosine decay to zero and fewer epochs than the ANN.
"""

_base_ = "mmpretrain::resnet/resnet18_8xb32_in1k.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

# Every stage leaves the backbone, so that level 2 teaches it; the head reads the last.
model = dict(backbone=dict(type="SEWResNet", time_steps=4, out_indices=(0, 1, 2, 3)))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            checkpoint="https://mmassets.onedl.ai/mmclassification/v0/resnet/"
            "resnet18_8xb32_in1k_20210831-fbbb1da6.pth"
        ),
    )
]

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = dict(_delete_=True, type="CosineAnnealingLR", T_max=max_epochs, by_epoch=True)
