"""Gen1 (cars and pedestrians), RetinaNet, SEW-ResNet-50 on T = 4 frames, taught by its ANN.

Data: `data/gen1`, see `_base_/gen1.py`. Train the teacher first: `python tools/train.py
configs/retinanet_r50_gen1.py`.
"""

_base_ = "./retinanet_r50_gen1.py"

# The time steps are the frames'; `time_steps` is what a test without `--time-steps` reads.
model = dict(data_preprocessor=dict(time="first"), backbone=dict(type="SEWResNet", time_steps=4))
custom_hooks = [
    dict(type="SAKDHook", teacher=dict(checkpoint="work_dirs/retinanet_r50_gen1/epoch_12.pth"))
]
