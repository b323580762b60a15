"""CamVid, an FCN that spikes throughout, its logits averaged over T; taught by `fcn_r18_camvid.py`.

The weights are those of `fcn_sew18_sakd_camvid.py`: an FCN's head has BatchNorm and ReLU anyway.
"""

_base_ = "./fcn_sew18_sakd_camvid.py"

model = dict(
    backbone=dict(output="sequence"),
    decode_head=dict(type="SpikingFCNHead"),
    auxiliary_head=dict(type="SpikingFCNHead"),
)
