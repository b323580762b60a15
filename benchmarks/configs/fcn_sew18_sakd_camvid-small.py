"""The student of `fcn_r18_camvid-small.py`."""

_base_ = "../../configs/fcn_sew18_sakd_camvid.py"

model = dict(
    backbone=dict(base_channels=32, stem_channels=32),
    decode_head=dict(in_channels=256, channels=64),
    auxiliary_head=dict(in_channels=128),
)
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/fcn_r18_camvid-small/epoch_60.pth"),
        responses=dict(loss="cwd", tau=4.0, decode=3.0, aux=1.2),
    )
]
