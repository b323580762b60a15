"""The ANN teacher on CIFAR-100: upstream's ResNet-50 recipe with a ResNet-18."""

_base_ = "mmpretrain::resnet/resnet50_8xb16_cifar100.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

model = dict(backbone=dict(depth=18), head=dict(in_channels=512))
