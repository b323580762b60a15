"""CIFAR-100, SEW-ResNet-18 (3x3 stem) at T = 4, taught by its ANN. Data: `data/cifar100`.

The teacher is `r18_cifar100.py`; train it first: `python tools/train.py configs/r18_cifar100.py`.
"""

_base_ = "./r18_cifar100.py"

# Every stage leaves the backbone, so that level 2 teaches it; the head reads the last.
model = dict(backbone=dict(type="SEWResNet_CIFAR", time_steps=4, out_indices=(0, 1, 2, 3)))
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/r18_cifar100/epoch_200.pth"))
]

max_epochs = 32
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = dict(_delete_=True, type="CosineAnnealingLR", T_max=max_epochs, by_epoch=True)
