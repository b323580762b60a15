"""The ANN teacher on Gen1, RetinaNet with a ResNet-50 from scratch on the mean of all frames.

Data: `data/gen1`, see `_base_/gen1.py`.
"""

_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py", "./_base_/gen1.py"]

model = dict(
    data_preprocessor=dict(
        _delete_=True, type="EventDetDataPreprocessor", time="mean", pad_size_divisor=32
    ),
    # No pretrained weights know event frames, hence nothing to freeze.
    backbone=dict(depth=50, in_channels=2, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
    bbox_head=dict(
        num_classes=2,
        # Boxes are 10 to 250 pixels high, anchors from 16.
        anchor_generator=dict(octave_base_scale=2),
    ),
)
