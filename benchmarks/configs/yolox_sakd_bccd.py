"""The student of `yolox_bccd.py`: a spiking CSPDarknet at T = 4."""

_base_ = "./yolox_bccd.py"

model = dict(backbone=dict(type="SpikingCSPDarknet", time_steps=4))
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/yolox_bccd/epoch_150.pth"))
]

max_epochs = 12
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
default_hooks = dict(checkpoint=dict(interval=4))
