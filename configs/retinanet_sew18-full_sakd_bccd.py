"""BCCD, a RetinaNet that spikes throughout: backbone, FPN and head, averaged over T at the end.

The teacher is the ANN of the same architecture, `retinanet_r18-full_bccd.py`. Train it first.
"""

_base_ = "./retinanet_sew18_sakd_bccd.py"

model = dict(
    backbone=dict(output="sequence"),
    neck=dict(type="SpikingFPN"),
    bbox_head=dict(type="SpikingRetinaHead", num_ins=4),
)
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/retinanet_r18-full_bccd/epoch_60.pth"))
]
