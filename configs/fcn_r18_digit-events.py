"""The ANN teacher on the label maps of moving digits: the mean of all frames, a narrow FCN.

No data set is needed: the recordings are generated in `data/digit_event_scenes` on first use.
"""

_base_ = "./fcn_r18_digits.py"

# Background covers 93 % of the pixels. With equal weights the model predicts nothing else.
class_weight = [0.1, *[1.0] * 10]
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type="EventSegDataPreprocessor",
        time="mean",
        size=(64, 64),
        seg_pad_val=255,
    ),
    # Stride 8: at 16, a digit covers one cell.
    backbone=dict(in_channels=2, strides=(1, 2, 1, 1)),
    decode_head=dict(loss_decode=dict(class_weight=class_weight)),
    auxiliary_head=dict(loss_decode=dict(class_weight=class_weight)),
)

dataset_type = "DigitEventScenesSegDataset"
data_root = "data/digit_event_scenes"
# No flips: a mirrored digit is another sign.
pipeline = [
    dict(type="LoadEvents", time_steps=8, window=50_000),
    dict(type="LoadAnnotations"),
    dict(type="PackEventInputs", pack="PackSegInputs"),
]
dataset = dict(type=dataset_type, data_root=data_root, pipeline=pipeline)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
