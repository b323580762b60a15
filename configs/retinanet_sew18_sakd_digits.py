"""The digit scenes, a narrow RetinaNet with a SEW-ResNet-18 at T = 4, taught by its ANN.

Train the teacher first: `python tools/train.py configs/retinanet_r18_digits.py`; `make demo` runs
all steps.
"""

_base_ = "./retinanet_r18_digits.py"

model = dict(backbone=dict(type="SEWResNet", time_steps=4, frozen_stages=-1, norm_eval=False))

custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/retinanet_r18_digits/epoch_10.pth"))
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
