"""The digit scenes as files and as a data set."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from pycocotools import mask as mask_tools

from sakd_dense.datasets import DigitScenesDataset, SceneParameters, ensure_digit_scenes
from sakd_dense.datasets.digits import scene_files as digits_module

SMALL = dict(size=(64, 48), counts=(6, 3, 4), digits=(1, 3), digit_size=(14, 24))
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True, with_seg=True),
    dict(type="PackDetInputs"),
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "digits"
    ensure_digit_scenes(root, SceneParameters(**SMALL))
    return root


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_same_parameters_give_the_same_files(data_root, tmp_path):
    again = tmp_path / "again"
    ensure_digit_scenes(again, SceneParameters(**SMALL))
    assert files_of(again) == files_of(data_root)
    assert len(files_of(again)) == 2 * (6 + 3 + 4) + 3 + 1


def test_more_scenes_begin_with_the_same_ones(data_root, tmp_path):
    more = tmp_path / "more"
    ensure_digit_scenes(more, SceneParameters(**{**SMALL, "counts": (8, 3, 4)}))
    first = "images/train/00005.png"
    assert (more / first).read_bytes() == (data_root / first).read_bytes()


def test_boxes_masks_and_label_maps_agree(data_root):
    coco = json.loads((data_root / "annotations" / "train.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    assert len(coco["annotations"]) >= len(names) == 6
    for annotation in coco["annotations"]:
        labels = np.array(Image.open(data_root / "labels/train" / names[annotation["image_id"]]))
        mask = mask_tools.decode(annotation["segmentation"]).astype(bool)
        x, y, w, h = annotation["bbox"]
        assert (labels[mask] == annotation["category_id"] + 1).all()
        assert mask[y : y + h, x : x + w].sum() == mask.sum() == annotation["area"]
        assert mask[y].any() and mask[y + h - 1].any()
        assert mask[:, x].any() and mask[:, x + w - 1].any()


def test_splits_use_different_scans(monkeypatch, tmp_path):
    seen = {}

    def draw(rng, scans, targets, parameters):
        seen.setdefault(len(seen), set()).update(scan.tobytes() for scan in scans)
        return draw_scene(rng, scans, targets, parameters)

    draw_scene = digits_module.draw_scene
    monkeypatch.setattr(digits_module, "draw_scene", draw)
    ensure_digit_scenes(tmp_path / "digits", SceneParameters(**{**SMALL, "counts": (1, 1, 1)}))
    train, val, test = seen.values()
    assert min(len(train), len(val), len(test)) > 300
    assert not (train & val or train & test or val & test)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_dataset_gives_boxes_masks_and_label_map(data_root, split):
    init_default_scope("mmdet")
    dataset = DATASETS.build(
        dict(
            type="DigitScenesDataset",
            split=split,
            data_root=str(data_root),
            scenes=SMALL,
            pipeline=PIPELINE,
        )
    )
    assert len(dataset) == dict(train=6, val=3, test=4)[split]
    sample = dataset[0]
    instances = sample["data_samples"].gt_instances
    assert sample["inputs"].shape == (3, 48, 64)
    assert len(instances.bboxes) == len(instances.labels) == len(instances.masks) >= 1
    labels = sample["data_samples"].gt_sem_seg.sem_seg
    assert set(labels.unique().tolist()) - {0} == {i + 1 for i in instances.labels.tolist()}


def test_it_is_generated_once_on_first_use(tmp_path, monkeypatch):
    root = tmp_path / "new" / "digits"
    arguments = dict(data_root=str(root), scenes=SMALL, pipeline=[])
    lazy = DigitScenesDataset(lazy_init=True, **arguments)
    assert not root.exists()
    assert len(lazy) == 6
    assert [p.name for p in root.parent.iterdir()] == ["digits"]  # nothing temporary is left
    monkeypatch.setattr(digits_module, "write_digit_scenes", None)
    DigitScenesDataset(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [(dict(seed=1), "seed: 0 in the folder, 1 requested"), (dict(size=(64, 64)), "size: ")],
)
def test_other_parameters_in_the_same_folder_are_an_error(data_root, change, message):
    before = files_of(data_root)
    with pytest.raises(ValueError, match=message):
        ensure_digit_scenes(data_root, SceneParameters(**{**SMALL, **change}))
    assert files_of(data_root) == before


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="no stamp.json"):
        ensure_digit_scenes(tmp_path / "digits", SceneParameters(**SMALL))
    assert [p.name for p in tmp_path.rglob("*")] == ["digits", "mine.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "digits").mkdir()
    ensure_digit_scenes(tmp_path / "digits", SceneParameters(**SMALL))
    assert (tmp_path / "digits" / "stamp.json").is_file()


def test_an_interrupted_generation_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits_module, "_add_to_coco", fail)
    with pytest.raises(KeyboardInterrupt):
        ensure_digit_scenes(tmp_path / "digits", SceneParameters(**SMALL))
    assert list(tmp_path.iterdir()) == []


def test_two_at_once(tmp_path, monkeypatch):
    both_have_written = threading.Barrier(2)

    def write(folder, parameters):
        write_digit_scenes(folder, parameters)
        both_have_written.wait(timeout=60)

    write_digit_scenes = digits_module.write_digit_scenes
    monkeypatch.setattr(digits_module, "write_digit_scenes", write)
    with ThreadPoolExecutor(2) as pool:
        arguments = (tmp_path / "digits", SceneParameters(**SMALL))
        for job in [pool.submit(ensure_digit_scenes, *arguments) for _ in range(2)]:
            job.result()
    assert [p.name for p in tmp_path.iterdir()] == ["digits"]


def test_bad_split_is_named(tmp_path):
    with pytest.raises(ValueError, match="split='trian'"):
        DigitScenesDataset(split="trian", data_root=str(tmp_path))
