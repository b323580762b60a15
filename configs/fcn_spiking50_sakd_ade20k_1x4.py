"""ADE20K, FCN with a Spiking-ResNetV1c-50 at 1x4: T = 1, up to four spikes per neuron.

Data, teacher and schedule are those of `fcn_sew50_sakd_ade20k.py`; see docs/counts.md.
"""

_base_ = "./fcn_sew50_sakd_ade20k.py"

model = dict(
    backbone=dict(type="SpikingResNetV1c", time_steps=1, neuron=dict(type="NILIFNode", D=4))
)
