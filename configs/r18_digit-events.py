"""The ANN teacher on moving-digit events: the mean of all frames, a narrow ResNet-18.

No data set is needed: the recordings are generated in `data/digit_events` on first use.
Neuromorphic data sets whose frames SpikingJelly has written (one folder per class) use the same
pipeline:
`dataset=dict(type='CustomDataset', data_root=..., data_prefix='train', extensions=('.npz',))`.
"""

_base_ = "./r18_digits.py"

model = dict(backbone=dict(in_channels=2))
data_preprocessor = dict(_delete_=True, type="EventDataPreprocessor", time="mean", num_classes=10)

pipeline = [dict(type="LoadEventFrames"), dict(type="PackInputs")]
train_dataloader = dict(dataset=dict(type="DigitEventsDataset", pipeline=pipeline))
val_dataloader = dict(dataset=dict(type="DigitEventsDataset", pipeline=pipeline))
test_dataloader = dict(dataset=dict(type="DigitEventsDataset", pipeline=pipeline))
