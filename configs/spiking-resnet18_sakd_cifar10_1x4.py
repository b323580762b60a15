"""CIFAR-10, Spiking-ResNet-18 at 1x4: T = 1, up to four spikes per neuron.

Data, teacher and schedule are those of `spiking-resnet18_sakd_cifar10.py`; see docs/counts.md.
"""

_base_ = "./spiking-resnet18_sakd_cifar10.py"

model = dict(backbone=dict(time_steps=1, neuron=dict(type="NILIFNode", D=4)))
