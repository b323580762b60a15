"""ADE20K, UPerNet with a SEW-ResNet-101 (V1c) at T = 4, taught by its ANN.

Data: `data/ade`. The teacher is the ANN of the upstream config below. Train it with
`python tools/train.py mmseg::... --work-dir work_dirs/upernet_r101_ade20k`,
or use its published checkpoint.
"""

_base_ = "mmseg::upernet/upernet_r101_4xb4-80k_ade20k-512x512.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(pretrained=None, backbone=dict(type="SEWResNetV1c", time_steps=4))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/upernet_r101_ade20k/iter_80000.pth"),
    )
]
