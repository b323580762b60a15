"""Moving digits as event streams with boxes, T = 8 bins of the 50 ms before each time stamp.

No data set is needed: the recordings are generated in `data/digit_event_scenes` on first use.
"""

_base_ = "mmdet::_base_/default_runtime.py"
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

dataset_type = "DigitEventScenesDataset"
data_root = "data/digit_event_scenes"
time_steps = 8
load_events = dict(type="LoadEvents", time_steps=time_steps, window=50_000)
# No flips: a mirrored digit is another sign.
train_pipeline = [
    load_events,
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackEventInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape")),
]
test_pipeline = [
    load_events,
    dict(type="Resize", scale_factor=1.0),  # the head asks for the scale factor
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackEventInputs",
        # `instances` and `timestamp`: the metric takes the true boxes from the data set itself.
        meta_keys=(
            *("img_id", "img_path", "timestamp", "ori_shape", "img_shape", "scale_factor"),
            "instances",
        ),
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline
    ),
)
val_evaluator = dict(type="EventCocoMetric", metric_items=["mAP", "mAP_50", "mAP_75"])
test_evaluator = val_evaluator
