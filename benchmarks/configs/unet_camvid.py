"""CamVid for two CPU cores: upstream's UNet at a quarter of its width and half the resolution.

UNet takes images whose sides are multiples of its largest stride, 32.
"""

_base_ = "../../configs/fcn_r18_camvid.py"

norm_cfg = dict(type="BN")
model = dict(
    data_preprocessor=dict(size=None, size_divisor=32, test_cfg=dict(size_divisor=32)),
    backbone=dict(
        _delete_=True,
        type="UNet",
        in_channels=3,
        base_channels=16,
        strides=(2, 1, 1, 1, 1),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(in_channels=16, in_index=4, channels=16, num_convs=1, concat_input=False),
    auxiliary_head=dict(in_channels=32, in_index=3, channels=16),
)
