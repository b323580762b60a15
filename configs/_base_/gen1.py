"""Gen1 (cars and pedestrians, 304x240) as T = 4 bins of the 50 ms before each time stamp.

Data: Prophesee's GEN1 Automotive Detection Dataset, unpacked so that `data/gen1/train`,
`data/gen1/val` and `data/gen1/test` contain `*_td.dat` beside `*_bbox.npy`.
https://www.prophesee.ai/2020/01/24/prophesee-gen1-automotive-detection-dataset/
"""

_base_ = ["mmdet::_base_/schedules/schedule_1x.py", "mmdet::_base_/default_runtime.py"]
custom_imports = dict(imports=["sakd_dense"], allow_failed_imports=False)

dataset_type = "Gen1Dataset"
data_root = "data/gen1"
rules = "gen1"
load_events = dict(type="LoadEvents", time_steps=4, window=50_000, size=(240, 304), outside="drop")
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
        # `instances` and `timestamp`: the metric takes the true boxes from the data set itself.
        meta_keys=(
            *("img_id", "img_path", "timestamp", "ori_shape", "img_shape", "scale_factor"),
            "instances",
        ),
    ),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split="train",
        # Boxes that no evaluation counts are not trained on either.
        rules=rules,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline
    ),
)
val_evaluator = dict(type="EventCocoMetric", rules=rules)
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=2e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10, norm_type=2),
)
auto_scale_lr = dict(base_batch_size=16)
