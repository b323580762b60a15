"""The ANN teacher on BCCD (blood cells): RetinaNet, ResNet-18, from scratch, small images.

Data and schedule: `_base_/bccd.py`. Images are read at 192x144; the neck and head have 64 channels
on strides 4 to 32. There are three classes.
"""

_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py", "./_base_/bccd.py"]

model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    # No pretrained weights, hence nothing to freeze.
    backbone=dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, start_level=0, num_outs=4),
    bbox_head=dict(
        num_classes=3,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # At this size a platelet is about 12 pixels wide, a red cell 32, a white cell 57.
        anchor_generator=dict(octave_base_scale=4, strides=[4, 8, 16, 32]),
    ),
)
