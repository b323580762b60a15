"""Single digits, a narrow SEW-ResNet-18 at T = 4, taught by its ANN.

Train the teacher first: `python tools/train.py configs/r18_digits.py`.
"""

_base_ = "./r18_digits.py"

# Every stage leaves the backbone, so that level 2 teaches it; the head reads the last.
model = dict(backbone=dict(type="SEWResNet", time_steps=4, out_indices=(0, 1, 2, 3)))
custom_hooks = [dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/r18_digits/epoch_10.pth"))]

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = dict(T_max=max_epochs)
default_hooks = dict(checkpoint=dict(interval=4))
