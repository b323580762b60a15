"""CIFAR-10, Spiking-ResNet-18 (3x3 stem) at T = 4, by the recipe of SAKD's authors.

Data: `data/cifar10`, downloaded by mmpretrain. Train the teacher first: `python tools/train.py
mmpretrain::resnet/resnet18_8xb16_cifar10.py --work-dir work_dirs/r18_cifar10`.

The config follows their script (github.com/Maybe2022/SAKD, cifar/train_KD.py) as published: the
student starts from random weights instead of level 1, and level 2 distils features alone. Their
feature loss sums over four stages with weight 100; ours averages them. Their KL divergence of the
logits (temperature 4) has weight 0; `responses=dict(tau=4.0)` turns it on here. `transfer=True`
starts from the teacher. Their inner neurons let gradients through the reset. The neurons here
detach the reset everywhere, as their other neurons do.
"""

_base_ = "./spiking-resnet18_sakd_cifar10.py"

model = dict(
    backbone=dict(
        neuron=dict(
            type="LIFNode",
            tau=2.0,
            decay_input=False,
            v_threshold=1.0,
            v_reset=0.0,
            detach_reset=True,
            surrogate_function=dict(type="ATan", alpha=2.0),
        )
    )
)
custom_hooks = [
    dict(
        type="SAKDHook",
        teacher=dict(checkpoint="work_dirs/r18_cifar10/epoch_200.pth"),
        transfer=False,
        features=dict(type="FeatureMSE", weight=400.0, adaptor=3),
        responses=None,
        prefixes=None,
    )
]

max_epochs = 200
train_cfg = dict(max_epochs=max_epochs)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=0.1, nesterov=True, weight_decay=5e-4))
param_scheduler = dict(T_max=max_epochs)
