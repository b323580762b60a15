"""The student of `fcn_r18_camvid-small.py` that spikes throughout."""

_base_ = "./fcn_sew18_sakd_camvid-small.py"

model = dict(
    backbone=dict(output="sequence"),
    decode_head=dict(type="SpikingFCNHead"),
    auxiliary_head=dict(type="SpikingFCNHead"),
)
