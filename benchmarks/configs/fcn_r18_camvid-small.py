"""CamVid for two CPU cores: the shipped teacher at half its width."""

_base_ = "../../configs/fcn_r18_camvid.py"

model = dict(
    backbone=dict(base_channels=32, stem_channels=32),
    decode_head=dict(in_channels=256, channels=64),
    auxiliary_head=dict(in_channels=128),
)
