"""The student of `retinanet_r50-caffe_coco-person.py`: SEW-ResNet-50 at T = 4."""

_base_ = "./retinanet_r50-caffe_coco-person.py"

model = dict(
    backbone=dict(
        type="SEWResNet",
        time_steps=4,
        # An ANN's BatchNorm statistics do not fit spikes: they are trained.
        norm_cfg=dict(requires_grad=True),
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    )
)
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/retinanet_r50-caffe_coco-person/epoch_4.pth"),
    )
]
