"""The ANN teacher on moving digits with boxes: the mean of all frames, a narrow RetinaNet.

No data set is needed: the recordings are generated in `data/digit_event_scenes` on first use.
"""

_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py", "./_base_/digit-events.py"]

model = dict(
    data_preprocessor=dict(
        _delete_=True, type="EventDetDataPreprocessor", time="mean", pad_size_divisor=32
    ),
    backbone=dict(
        depth=18,
        in_channels=2,
        base_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        style="pytorch",
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=3),
    bbox_head=dict(
        num_classes=10,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # Digits are 20 to 32 pixels high, anchors from 16.
        anchor_generator=dict(octave_base_scale=2, strides=[8, 16, 32]),
    ),
)

max_epochs = 10
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=10, norm_type=2),
)
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
auto_scale_lr = dict(base_batch_size=8)

default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=5, max_keep_ckpts=1),
)
