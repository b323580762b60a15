"""The sets of segmentation and classification: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from sakd_dense.datasets import CamVidDataset, DigitScenesSegDataset, DigitsDataset

FEW = dict(counts=(6, 2, 2))


def camvid(root, splits=("train",), count=2, labels=True):
    rng = np.random.default_rng(0)
    for split in splits:
        for folder in ("img_dir", "ann_dir"):
            (root / folder / split).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "img_dir" / split / f"{i}.jpg")
            if labels:
                label = rng.integers(0, 12, (12, 16), dtype=np.uint8)
                Image.fromarray(label).save(root / "ann_dir" / split / f"{i}.png")
    return str(root)


def test_camvid(tmp_path):
    init_default_scope("mmseg")
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
    cfg = dict(type="CamVidDataset", data_root=camvid(tmp_path), pipeline=pipeline)
    dataset = DATASETS.build(cfg)
    assert len(dataset) == 2 and len(dataset.metainfo["classes"]) == 11
    sample = dataset[0]
    assert sample["img"].shape == (12, 16, 3)
    # Void keeps its index 11 and is told to be ignored.
    assert sample["gt_seg_map"].max() == 11 and dataset.ignore_index == 11


def test_camvid_refuses_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*img_dir/val"):
        CamVidDataset(split="val", data_root=camvid(tmp_path / "a"))
    with pytest.raises(FileNotFoundError, match="2 images have no label map"):
        CamVidDataset(data_root=camvid(tmp_path / "b", labels=False))
    with pytest.raises(ValueError, match="contains no .jpg image"):
        CamVidDataset(data_root=camvid(tmp_path / "c", count=0))


@pytest.mark.parametrize("text", ["0\n\n1\n", "\n0\n1", "0\r\n \r\n1\r\n"])
def test_camvid_by_a_list_with_empty_lines(tmp_path, text):
    root = camvid(tmp_path, count=3)
    (tmp_path / "list.txt").write_bytes(text.encode())
    dataset = CamVidDataset(data_root=root, ann_file="list.txt")
    names = [Path(dataset.get_data_info(i)["img_path"]).name for i in range(len(dataset))]
    assert names == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize(("text", "message"), [("\n \n", "lists no image"), ("9\n", r"9\.jpg")])
def test_camvid_refuses_a_list_of_nothing(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError if "lists" in message else FileNotFoundError, match=message):
        CamVidDataset(data_root=camvid(tmp_path), ann_file="list.txt")


@pytest.mark.parametrize("kind", [CamVidDataset, DigitScenesSegDataset, DigitsDataset])
def test_a_split_that_is_not_there(kind, tmp_path):
    with pytest.raises(ValueError, match="split='dev'"):
        kind(split="dev", data_root=str(tmp_path))


def test_digit_scenes_as_labels(tmp_path):
    """Detection and segmentation share one folder, and the label map knows every box."""
    init_default_scope("mmseg")
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
    root = str(tmp_path / "digits")
    dataset = DigitScenesSegDataset(data_root=root, scenes=FEW, pipeline=pipeline)
    assert len(dataset) == 6 and len(dataset.metainfo["classes"]) == 11
    from sakd_dense.datasets import DigitScenesDataset

    boxes = DigitScenesDataset(data_root=root, scenes=FEW, lazy_init=True)
    boxes.full_init()
    for i in range(6):
        labels = dataset[i]["gt_seg_map"]
        digits = {b["bbox_label"] + 1 for b in boxes.get_data_info(i)["instances"]}
        assert set(np.unique(labels)) == digits | {0}


def test_single_digits(tmp_path):
    dataset = DigitsDataset(data_root=str(tmp_path / "one"), scenes=FEW)
    assert len(dataset) == 6 and tuple("0123456789") == dataset.CLASSES
    info = dataset.get_data_info(0)
    assert Image.open(info["img_path"]).size == (40, 40) and 0 <= info["gt_label"] <= 9
    with pytest.raises(ValueError, match="has no single class"):
        DigitsDataset(data_root=str(tmp_path / "two"), scenes=dict(digits=(1, 2)))
