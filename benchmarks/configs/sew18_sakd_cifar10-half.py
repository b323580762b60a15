"""The student of `r18_cifar10-half.py`: `sew18_sakd_cifar10-small.py` on all images."""

_base_ = "./sew18_sakd_cifar10-small.py"

train_dataloader = dict(
    dataset=dict(indices=[5000 * c + i for c in range(10) for i in range(4900)])
)
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/r18_cifar10-half/epoch_12.pth"))
]
