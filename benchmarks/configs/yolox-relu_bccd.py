"""`yolox_bccd.py` with ReLU for SiLU: what a neuron that never fires below zero can follow."""

_base_ = "./yolox_bccd.py"

act_cfg = dict(type="ReLU")
model = dict(
    backbone=dict(act_cfg=act_cfg), neck=dict(act_cfg=act_cfg), bbox_head=dict(act_cfg=act_cfg)
)
