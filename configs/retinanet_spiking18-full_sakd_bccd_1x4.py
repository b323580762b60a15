"""BCCD, a RetinaNet that spikes throughout, at 1x4: T = 1, up to four spikes per neuron.

Data, teacher and schedule are those of `retinanet_sew18-full_sakd_bccd.py`; see docs/counts.md.
"""

_base_ = "./retinanet_sew18-full_sakd_bccd.py"

neuron = dict(type="NILIFNode", D=4)
model = dict(
    backbone=dict(type="SpikingResNet", time_steps=1, neuron=neuron),
    neck=dict(neuron=neuron),
    bbox_head=dict(neuron=neuron),
)
