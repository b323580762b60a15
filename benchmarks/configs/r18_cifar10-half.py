"""`r18_cifar10-small.py` on all of CIFAR-10 except its val: 4900 images per class."""

_base_ = "./r18_cifar10-small.py"

train_dataloader = dict(
    dataset=dict(indices=[5000 * c + i for c in range(10) for i in range(4900)])
)

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs, end=max_epochs)
default_hooks = dict(checkpoint=dict(interval=4))
