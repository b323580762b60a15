"""Event-camera sets as mmdet and mmseg sets, and the rules of their evaluation."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, METRICS, init_default_scope
from mmengine.structures import InstanceData

from sakd_dense.datasets import DigitEventScenesDataset, Gen1Dataset, MovingParameters, PEDRoDataset
from sakd_dense.datasets.digits.moving import record_scene
from sakd_dense.datasets.events import open_events
from tests.helpers.recordings import SIZE, boxes_at, some_events, write_npy, write_recording

CONFIGS = Path(__file__).parents[2] / "configs"
FEW = dict(counts=(2, 1, 1), stamps=3)


def gen1(folder: Path, *rows: tuple, **arguments) -> Gen1Dataset:
    write_recording(folder / "train", "a", some_events(), boxes_at(*rows))
    return Gen1Dataset(data_root=str(folder), size=SIZE, **arguments)


def test_a_sample_is_a_time_stamp_with_boxes(tmp_path):
    rows = [(200_000, 1, 2, 10, 8, 1), (100_000, 5, 5, 4, 4, 0), (200_000, 3, 3, 5, 5, 0)]
    dataset = gen1(tmp_path, *rows)
    first, second = (dataset.get_data_info(i) for i in range(len(dataset)))
    assert (first["timestamp"], second["timestamp"]) == (100_000, 200_000)
    assert [i["bbox"] for i in second["instances"]] == [[1, 2, 11, 10], [3, 3, 8, 8]]
    assert [i["bbox_label"] for i in second["instances"]] == [1, 0]
    assert (first["height"], first["width"]) == SIZE and first["img_id"] != second["img_id"]
    assert dataset.metainfo["classes"] == ("car", "pedestrian")


def test_boxes_end_at_the_border(tmp_path):
    """And what is left without area is dropped, and said."""
    rows = [(1, -5, -5, 20, 10, 0), (1, 25, 15, 50, 50, 0), (1, 40, 3, 5, 5, 0), (2, 3, 3, 0, 5, 1)]
    logger, said = MMLogger.get_current_instance(), []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger.addHandler(handler)
    dataset = gen1(tmp_path, *rows)
    logger.removeHandler(handler)
    (info,) = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [i["bbox"] for i in info["instances"]] == [[0, 0, 15, 5], [25, 15, 30, 20]]
    assert any("2 boxes" in message and "no area" in message for message in said)
    assert len(Gen1Dataset(data_root=str(tmp_path), size=SIZE, test_mode=True)) == 2


def test_a_part_of_the_classes(tmp_path):
    rows = [(1, 1, 1, 5, 5, 0), (1, 2, 2, 5, 5, 1), (2, 1, 1, 5, 5, 0)]
    dataset = gen1(tmp_path, *rows, metainfo=dict(classes=("pedestrian",)))
    assert len(dataset) == 1
    assert [i["bbox_label"] for i in dataset.get_data_info(0)["instances"]] == [0]


def test_rules_leave_boxes_out_of_training(tmp_path):
    rows = [(400_000, 1, 1, 28, 18, 0), (600_000, 1, 1, 28, 18, 0), (600_000, 1, 1, 9, 18, 1)]
    dataset = gen1(tmp_path, *rows, rules="gen1")
    assert [dataset.get_data_info(i)["timestamp"] for i in range(len(dataset))] == [600_000]
    assert len(dataset.get_data_info(0)["instances"]) == 1


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda p: shutil.rmtree(p / "train"), "there is no folder .*train"),
        (lambda p: (p / "train" / "a_td.dat").unlink(), "a_td.dat, is missing"),
        (lambda p: (p / "train" / "a_bbox.npy").unlink(), r"contains no \*_bbox.npy"),
        (
            lambda p: write_recording(
                p / "train", "a", some_events(), boxes_at((70, 1, 1, 5, 5, 2))
            ),
            "a_bbox.npy at t = 70 us: a box has class 2",
        ),
        (
            lambda p: write_recording(
                p / "train", "a", some_events(), boxes_at((70, np.nan, 1, 5, 5, 0))
            ),
            "at t = 70 us: a box has an x, y, w or h that is not a number",
        ),
        (
            lambda p: (p / "train" / "a_bbox.npy").write_bytes(
                (p / "train" / "a_bbox.npy").read_bytes()[:-7]
            ),
            "a_bbox.npy is not a readable array",
        ),
    ],
)
def test_what_is_missing_or_unknown_is_named(change, message, tmp_path):
    gen1(tmp_path, (100, 1, 1, 5, 5, 0))
    change(tmp_path)
    with pytest.raises(ValueError, match=message):
        Gen1Dataset(data_root=str(tmp_path), size=SIZE)


def write_pedro(folder: Path, name: str, events: bool = True, split: str = "train") -> None:
    (folder / "xml" / split).mkdir(parents=True, exist_ok=True)
    (folder / "numpy" / split).mkdir(parents=True, exist_ok=True)
    (folder / "xml" / split / f"{name}.xml").write_text(
        "<annotation><size><width>30</width><height>20</height></size><object><name>person</name>"
        "<difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>12</xmax>"
        "<ymax>14</ymax></bndbox></object></annotation>"
    )
    if events:
        write_npy(folder / "numpy" / split / f"{name}.npy", some_events(begin=10**15))


def test_pedro_is_read_as_it_is(tmp_path):
    init_default_scope("mmdet")
    for name in ("frame1", "frame0"):
        write_pedro(tmp_path, name)
    pipeline = [
        dict(type="LoadEvents", time_steps=4, window=40_000),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="PackEventInputs", meta_keys=("img_id", "img_path")),
    ]
    dataset = PEDRoDataset(data_root=str(tmp_path), pipeline=pipeline)
    sample = dataset[0]
    assert len(dataset) == 2 and sample["data_samples"].img_id == "frame0"
    events = some_events(begin=10**15)
    end = int(events.t[-1]) + 1
    assert sample["inputs"].shape == (4, 2, *SIZE)
    assert sample["inputs"].sum() == len(events.between(end - 40_000, end)) > 0
    assert sample["data_samples"].gt_instances.bboxes.tensor.tolist() == [[1, 2, 11, 13]]


def test_pedros_boxes_without_events(tmp_path):
    write_pedro(tmp_path, "frame0")
    write_pedro(tmp_path, "frame1", events=False)
    with pytest.raises(FileNotFoundError, match=r"1 of the boxes .* frame1\.xml"):
        PEDRoDataset(data_root=str(tmp_path))
    assert len(PEDRoDataset(data_root=str(tmp_path), missing="skip")) == 1
    with pytest.raises(ValueError, match="missing='ignore'"):
        PEDRoDataset(data_root=str(tmp_path), missing="ignore")
    with pytest.raises(FileNotFoundError, match="no folder .*val"):
        PEDRoDataset(data_root=str(tmp_path), split="val")


def test_generated_recordings_are_the_same_again_and_read_as_prophesees(tmp_path):
    sets = [DigitEventScenesDataset(data_root=str(tmp_path / n), recordings=FEW) for n in "ab"]
    assert len(sets[0]) == 6 and sets[0].metainfo["classes"] == tuple("0123456789")
    for file in sorted((tmp_path / "a").rglob("*.*")):
        assert file.read_bytes() == Path(str(file).replace("/a/", "/b/")).read_bytes()
    first = sets[0].get_data_info(0)
    assert first["img_path"].endswith("00000_td.dat") and first["timestamp"] == 50_000
    assert open_events(first["img_path"]).size == (64, 64)


def test_labels_and_boxes_lie_where_events_are(tmp_path):
    init_default_scope("mmseg")
    parameters = MovingParameters(noise=0, digits=(1, 1), stamps=1)
    scans = np.zeros((1, 8, 8), int)
    scans[0, 1:7, 2:6] = 16
    recording = record_scene(np.random.default_rng(0), scans, np.array([7]), parameters)
    (x, y, w, h, digit, _), t = recording.boxes[0][0], recording.stamps[0]
    assert digit == 7 and t == 50_000
    rows, columns = np.nonzero(recording.labels[0] == 8)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (y, y + h, x, x + w)
    late = recording.events.between(t - 20_000, t)
    assert len(late) and late.ordered
    assert (late.x >= x - 4).all() and (late.x < x + w + 4).all()
    assert (late.y >= y - 4).all() and (late.y < y + h + 4).all()


def test_label_maps_of_generated_recordings(tmp_path):
    init_default_scope("mmseg")
    pipeline = [
        dict(type="LoadEvents", time_steps=2),
        dict(type="LoadAnnotations"),
        dict(type="PackEventInputs", pack="PackSegInputs"),
    ]
    args = dict(data_root=str(tmp_path / "a"), recordings=FEW, pipeline=pipeline)
    dataset = DATASETS.build(dict(type="DigitEventScenesSegDataset", **args))
    assert len(dataset) == 6
    packed = dataset[1]
    assert packed["inputs"].shape == (2, 2, 64, 64)
    labels = packed["data_samples"].gt_sem_seg.data
    assert labels.shape == (1, 64, 64) and labels.any()
    boxes = DigitEventScenesDataset(data_root=str(tmp_path / "a"), recordings=FEW)
    named = {i["bbox_label"] + 1 for i in boxes.get_data_info(1)["instances"]}
    assert named <= set(np.unique(labels)) and boxes.get_data_info(1)["timestamp"] == 100_000


@pytest.mark.parametrize(
    "parameters",
    [
        dict(digits=(3, 1)),
        dict(counts=(1, 2)),
        dict(digit_size=(8, 200)),
        dict(stamps=0),
        dict(noise=-1),
        dict(threshold=300),
        dict(period=2500),
    ],
)
def test_parameters_that_cannot_be(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"{name}="):
        MovingParameters(**parameters)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ["gen1", "pedro"])
def test_the_pipelines_of_shipped_configs(name, split, tmp_path):
    """From files in a set's own layout to what its detector and its metric take."""
    cfg = Config.fromfile(CONFIGS / f"retinanet_sew18_sakd_{name}.py")
    init_default_scope("mmdet")
    if name == "gen1":
        boxes = boxes_at((600_000, 100, 50, 40, 30, 1), (700_000, 20, 20, 60, 60, 0))
        write_recording(tmp_path / split, "a", some_events(9000, stop=700_000), boxes)
    else:
        for frame in ("frame0", "frame1"):
            write_pedro(tmp_path, frame, split=split)
    dataset_cfg = cfg[f"{split}_dataloader"].dataset
    dataset_cfg.data_root = str(tmp_path)
    dataset = DATASETS.build(dataset_cfg)
    samples = [dataset[i] for i in range(len(dataset))]
    assert len(samples) == 2
    size = dict(gen1=(240, 304), pedro=(260, 346))[name]
    for packed in samples:
        assert packed["inputs"].shape == (4, 2, *size) and packed["inputs"].sum() > 100
        assert len(packed["data_samples"].gt_instances.bboxes) == 1
    if split == "train":
        return
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    for packed in samples:  # the true boxes as predictions
        sample = packed["data_samples"]
        true = torch.tensor([i["bbox"] for i in sample.instances])
        labels = torch.tensor([i["bbox_label"] for i in sample.instances])
        sample.pred_instances = InstanceData(bboxes=true, labels=labels, scores=torch.ones(1))
        metric.process(None, [sample.to_dict()])
    # PEDRo's box of 10x11 pixels counts: its rules leave nothing out.
    assert metric.evaluate(2)["coco/bbox_mAP_50"] == pytest.approx(1.0)
