"""The road: RetinaNet on the digit scenes, its backbone a SEW-ResNet distilled as a classifier.

First `r18_digits.py`, `sew18_sakd_digits.py` and `retinanet_r18_digits.py`, each by
`python tools/train.py`. Neck and head start as the RetinaNet teacher's.
"""

_base_ = "./retinanet_sew18_sakd_digits.py"

model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type="Pretrained",
            checkpoint="work_dirs/sew18_sakd_digits/epoch_4.pth",
            prefix="backbone.",
        )
    )
)
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/retinanet_r18_digits/epoch_10.pth"),
        transfer="head",
    )
]
