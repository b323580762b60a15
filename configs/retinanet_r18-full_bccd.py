"""The ANN twin of a RetinaNet that spikes throughout: a norm and a ReLU behind each convolution.

Neurons need inputs of a known scale, so the FPN and the head have BatchNorm. Levels that share a
convolution of the head have statistics of their own (mmdet's RetinaSepBNHead).
"""

_base_ = "./retinanet_r18_bccd.py"

model = dict(
    neck=dict(norm_cfg=dict(type="BN"), act_cfg=dict(type="ReLU")),
    bbox_head=dict(type="RetinaSepBNHead", num_ins=4, norm_cfg=dict(type="BN")),
)
