"""BCCD, a RetinaNet that spikes throughout: backbone, FPN and head, averaged over T at the end.

Taught by the ANN of the same architecture, `retinanet_r18-full_bccd.py`; train that first.
"""

_base_ = "./retinanet_r18-full_bccd.py"

model = dict(
    backbone=dict(type="SEWResNet", time_steps=4, output="sequence"),
    neck=dict(type="SpikingFPN"),
    bbox_head=dict(type="SpikingRetinaHead"),
)
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/retinanet_r18-full_bccd/epoch_60.pth"))
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
