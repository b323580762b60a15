"""Moving digits with boxes, a narrow RetinaNet with a SEW-ResNet-18 that sees T = 8 frames.

The teacher sees the mean of these frames. Train it first: `python tools/train.py
configs/retinanet_r18_digit-events.py`.
"""

_base_ = "./retinanet_r18_digit-events.py"

# The time steps are the frames'; `time_steps` is what a test without `--time-steps` reads.
model = dict(data_preprocessor=dict(time="first"), backbone=dict(type="SEWResNet", time_steps=8))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/retinanet_r18_digit-events/epoch_10.pth"),
    )
]

max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
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
default_hooks = dict(checkpoint=dict(interval=3))
