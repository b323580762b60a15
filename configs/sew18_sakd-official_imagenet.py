"""ImageNet-1K, SEW-ResNet-18 at T = 4, by the recipe of SAKD's authors. Data: `data/imagenet`.

The config follows their script (github.com/Maybe2022/SAKD, imagenet/Train.py). timm's weights
initialise the student and are the teacher. The script compares the batch's index with a number of
epochs, so its feature loss has weight 10 for the first eleven iterations of an epoch and 0.01 from
then on. This config uses 0.01 throughout (their loss is a sum over four stages, ours their mean).
The published script builds ResNets that sum before the neuron, but the released weights and logs
are of SEW, and so is this config. It is for eight GPUs with 64 images each.
"""

_base_ = "./sew18_sakd_imagenet.py"

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
        teacher=dict(
            checkpoint="https://github.com/huggingface/pytorch-image-models/releases/download/"
            "v0.1-rsb-weights/resnet18_a1_0-d63eafa0.pth"
        ),
        features=dict(type="FeatureMSE", weight=0.04, adaptor=1),
        responses=dict(cls=10.0, tau=1.0),
        prefixes=None,
    )
]

max_epochs = 120
train_cfg = dict(max_epochs=max_epochs)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="AdamW", lr=1e-3, weight_decay=0.005))
param_scheduler = dict(T_max=max_epochs)
auto_scale_lr = dict(base_batch_size=512)
