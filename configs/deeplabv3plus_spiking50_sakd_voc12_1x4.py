"""VOC 2012, DeepLabv3+ with a Spiking-ResNetV1c-50 at 1x4: T = 1, up to four spikes per neuron.

Data, teacher and schedule are those of `deeplabv3plus_sew50_sakd_voc12.py`; see docs/counts.md.
"""

_base_ = "./deeplabv3plus_sew50_sakd_voc12.py"

model = dict(
    backbone=dict(type="SpikingResNetV1c", time_steps=1, neuron=dict(type="NILIFNode", D=4))
)
