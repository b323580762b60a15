"""An ANN teacher on moving digits with boxes that sees all T = 8 frames, stacked as 16 channels.

Train its student with `python tools/train.py
configs/retinanet_sew18_sakd_digit-events.py --cfg-options
custom_hooks.0.teacher.config=configs/retinanet_r18_digit-events_channels.py
custom_hooks.0.teacher.checkpoint=work_dirs/retinanet_r18_digit-events_channels/epoch_10.pth`
"""

_base_ = "./retinanet_r18_digit-events.py"

model = dict(data_preprocessor=dict(time="channels"), backbone=dict(in_channels=16))
