"""The student of `r18_cifar10-small.py`."""

_base_ = "./r18_cifar10-small.py"

model = dict(backbone=dict(type="SEWResNet", time_steps=4))
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/r18_cifar10-small/epoch_30.pth"))
]

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(
        type="CosineAnnealingLR",
        T_max=max_epochs,
        begin=0,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
