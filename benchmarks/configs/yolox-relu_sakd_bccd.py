"""The student of `yolox-relu_bccd.py`: `yolox_sakd_bccd.py` with ReLU."""

_base_ = "./yolox_sakd_bccd.py"

act_cfg = dict(type="ReLU")
model = dict(
    backbone=dict(act_cfg=act_cfg), neck=dict(act_cfg=act_cfg), bbox_head=dict(act_cfg=act_cfg)
)
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/yolox-relu_bccd/epoch_150.pth"))
]
