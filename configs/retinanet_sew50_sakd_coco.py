"""COCO, RetinaNet with a SEW-ResNet-50 at T = 4, taught by its ANN. Data: `data/coco`.

Train upstream's teacher with `python tools/train.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py
--work-dir work_dirs/retinanet_r50_coco`, or use its published checkpoint.
"""

_base_ = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(
    backbone=dict(
        type="SEWResNet",
        time_steps=4,
        # An ANN's BatchNorm statistics do not fit spikes: they are trained.
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    )
)
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/retinanet_r50_coco/epoch_12.pth"))
]
