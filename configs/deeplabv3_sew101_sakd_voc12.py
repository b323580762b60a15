"""Pascal VOC 2012 (aug), DeepLabV3 with a SEW-ResNet-101 (V1c) at T = 4, taught by its ANN.

Data: `data/VOCdevkit`. The teacher is the ANN of the upstream config below. Train it with
`python tools/train.py mmseg::... --work-dir work_dirs/deeplabv3_r101_voc12`,
or use its published checkpoint.
"""

_base_ = "mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-20k_voc12aug-512x512.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(pretrained=None, backbone=dict(type="SEWResNetV1c", time_steps=4))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/deeplabv3_r101_voc12/iter_20000.pth"),
    )
]
