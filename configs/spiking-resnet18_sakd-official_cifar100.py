"""CIFAR-100, Spiking-ResNet-18 (3x3 stem) at T = 4, by the recipe of SAKD's authors.

The teacher is `r18_cifar100.py`; train it first: `python tools/train.py configs/r18_cifar100.py`.
The recipe is CIFAR-10's (`spiking-resnet18_sakd-official_cifar10.py`); only the data differ.
"""

_base_ = "./spiking-resnet18_sakd-official_cifar10.py"

model = dict(head=dict(num_classes=100))
data_preprocessor = dict(
    num_classes=100, mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418]
)
train_dataloader = dict(dataset=dict(type="CIFAR100", data_root="data/cifar100"))
val_dataloader = dict(dataset=dict(type="CIFAR100", data_root="data/cifar100"))
test_dataloader = dict(dataset=dict(type="CIFAR100", data_root="data/cifar100"))
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/r18_cifar100/epoch_200.pth"),
        transfer=False,
        features=dict(type="FeatureMSE", weight=400.0, adaptor=3),
        responses=None,
        prefixes=None,
    )
]
