"""FCN on the digit scenes, with a SEW-ResNet that was distilled as a classifier.

Train `r18_digits.py`, `sew18_sakd_digits.py` and `fcn_r18_digits.py` first, each with
`python tools/train.py`. The neck and head start from the weights of the FCN teacher.
"""

_base_ = "./fcn_sew18_sakd_digits.py"

model = dict(
    backbone=dict(
        init_cfg=dict(
            type="Pretrained",
            checkpoint="work_dirs/sew18_sakd_digits/epoch_4.pth",
            prefix="backbone.",
        )
    )
)
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/fcn_r18_digits/epoch_10.pth"),
        transfer="head",
    )
]
