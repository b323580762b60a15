"""Moving-digit events, a narrow SEW-ResNet-18 that sees the frames one by one (T = 8).

The teacher sees the mean of these frames. Train it first: `python tools/train.py
configs/r18_digit-events.py`.
"""

_base_ = "./r18_digit-events.py"

# The time steps are the frames'; `time_steps` is what a test without `--time-steps` reads.
model = dict(backbone=dict(type="SEWResNet", time_steps=8, out_indices=(0, 1, 2, 3)))
data_preprocessor = dict(time="first")
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/r18_digit-events/epoch_10.pth"))
]

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = dict(T_max=max_epochs)
default_hooks = dict(checkpoint=dict(interval=4))
