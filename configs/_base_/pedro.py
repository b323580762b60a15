"""PEDRo (people seen from a robot, 346x260) as T = 4 bins of its recordings of 40 ms.

Data: https://github.com/SSIGPRO/PEDRo-Event-Based-Dataset; copy or link its folders `numpy`
and `xml` to `data/pedro/numpy` and `data/pedro/xml`.
"""

_base_ = "./gen1.py"

dataset_type = "PEDRoDataset"
data_root = "data/pedro"
# A file is a sample: all of its 40 ms. It does not say how large the sensor is.
load_events = dict(type="LoadEvents", time_steps=4, window=None, size=(260, 346))
train_pipeline = [
    load_events,
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackEventInputs"),
]
test_pipeline = [
    load_events,
    dict(type="Resize", scale_factor=1.0),  # the head asks for the scale factor
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackEventInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
    ),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split="train",
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split="val",
        test_mode=True,
        pipeline=test_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split="test",
        test_mode=True,
        pipeline=test_pipeline,
    )
)
# The authors' rules are COCO's: every box counts.
val_evaluator = dict(rules=None)
test_evaluator = val_evaluator
