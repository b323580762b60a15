"""The ANN teacher on PEDRo, RetinaNet with a ResNet-18 from scratch on the mean of all frames.

Data: `data/pedro`, see `_base_/pedro.py`.
"""

_base_ = ["mmdet::_base_/models/retinanet_r50_fpn.py", "./_base_/pedro.py"]

model = dict(
    data_preprocessor=dict(
        _delete_=True, type="EventDetDataPreprocessor", time="mean", pad_size_divisor=32
    ),
    # No pretrained weights know event frames, hence nothing to freeze.
    backbone=dict(depth=18, in_channels=2, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(
        num_classes=1,
        # Boxes are 10 to 250 pixels high, anchors from 16.
        anchor_generator=dict(octave_base_scale=2),
    ),
)
