"""CIFAR-10, Spiking-ResNet-18 (3x3 stem) at T = 4, taught by its ANN.

Data: `data/cifar10`, downloaded by mmpretrain. Train the teacher first: `python tools/train.py
mmpretrain::resnet/resnet18_8xb16_cifar10.py --work-dir work_dirs/r18_cifar10`.

The student trains for a sixth of the teacher's epochs at a tenth of its learning rate, because its
weights are trained already. The schedule is ours and not yet measured on the whole data set.
"""

_base_ = "mmpretrain::resnet/resnet18_8xb16_cifar10.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

# Every stage leaves the backbone, so that level 2 teaches it; the head reads the last.
model = dict(backbone=dict(type="SpikingResNet_CIFAR", time_steps=4, out_indices=(0, 1, 2, 3)))
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/r18_cifar10/epoch_200.pth"))
]

max_epochs = 32
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = dict(_delete_=True, type="CosineAnnealingLR", T_max=max_epochs, by_epoch=True)
