"""PEDRo (people), RetinaNet, SEW-ResNet-50 on T = 4 frames, taught by its ANN.

Data: `data/pedro`, see `_base_/pedro.py`. Train the teacher first: `python tools/train.py
configs/retinanet_r50_pedro.py`.
"""

_base_ = "./retinanet_r50_pedro.py"

# The time steps are the frames'; `time_steps` is what a test without `--time-steps` reads.
model = dict(data_preprocessor=dict(time="first"), backbone=dict(type="SEWResNet", time_steps=4))
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/retinanet_r50_pedro/epoch_12.pth"))
]
