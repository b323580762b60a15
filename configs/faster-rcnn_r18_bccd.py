"""The ANN teacher on BCCD (blood cells): Faster R-CNN, ResNet-18, from scratch, small images.

Data and schedule: `_base_/bccd.py`. Images are read at 192x144; the neck has 64 channels on
strides 4 to 32. There are three classes.
"""

_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py", "./_base_/bccd.py"]

model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    # No pretrained weights, hence nothing to freeze.
    backbone=dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        # At this size a platelet is about 12 pixels wide, a red cell 32, a white cell 57.
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=3),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=250), rcnn=dict(sampler=dict(num=128))
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=250)),
)
