"""COCO, RetinaNet with a SEW-ResNet-152 at T = 4, taught by its ANN. Data: `data/coco`.

mmdet has no RetinaNet of depth 152: train the teacher with its r101 config, set to depth 152.
"""

_base_ = "mmdet::retinanet/retinanet_r101_fpn_1x_coco.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(
    backbone=dict(
        type="SEWResNet",
        depth=152,
        time_steps=4,
        # An ANN's BatchNorm statistics do not fit spikes: they are trained.
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    )
)
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/retinanet_r152_coco/epoch_12.pth"))
]
