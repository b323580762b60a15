"""ImageNet-1K, Spiking-ResNet-34 at 1x4: T = 1, up to four spikes per neuron.

Data, teacher and schedule are those of `spiking-resnet34_sakd_imagenet.py`; see docs/counts.md.
"""

_base_ = "./spiking-resnet34_sakd_imagenet.py"

model = dict(backbone=dict(time_steps=1, neuron=dict(type="NILIFNode", D=4)))
