"""`yolox_bccd.py` with ReLU instead of SiLU, because neurons never fire below zero."""

_base_ = "./yolox_bccd.py"

act_cfg = dict(type="ReLU")
model = dict(
    backbone=dict(act_cfg=act_cfg), neck=dict(act_cfg=act_cfg), bbox_head=dict(act_cfg=act_cfg)
)
