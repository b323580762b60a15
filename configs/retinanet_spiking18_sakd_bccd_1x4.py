"""BCCD, RetinaNet with a Spiking-ResNet-18 at 1x4: T = 1, up to four spikes per neuron.

Data, teacher and schedule are those of `retinanet_sew18_sakd_bccd.py`; see docs/counts.md.
"""

_base_ = "./retinanet_sew18_sakd_bccd.py"

model = dict(backbone=dict(type="SpikingResNet", time_steps=1, neuron=dict(type="NILIFNode", D=4)))
