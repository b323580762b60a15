"""The shipped student of moving digits with boxes; its teacher sees the frames as channels."""

_base_ = "../../configs/retinanet_sew18_sakd_digit-events.py"

custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(
            config="configs/retinanet_r18_digit-events_channels.py",
            checkpoint="work_dirs/retinanet_r18_digit-events_channels/epoch_10.pth",
        ),
    )
]
