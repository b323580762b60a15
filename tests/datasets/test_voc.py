"""Pascal VOC sets: what is wrong is said, what is right comes through."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from sakd_dense.datasets import BCCDDataset

OBJECT = (
    "<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{0}</xmin><ymin>{1}</ymin>"
    "<xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"
)
PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(32, 24), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
    ),
]


def make(root: Path, objects: dict[str, list[tuple]]) -> str:
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, boxes in objects.items():
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
        body = "".join(OBJECT.format(*box, name=cls) for cls, *box in boxes)
        size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
        text = f"<annotation>{size}{body}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    (root / "ImageSets/Main/train.txt").write_text("\n".join(objects) + "\n")
    return str(root)


def load(root: str, **kwargs) -> BCCDDataset:
    init_default_scope("mmdet")
    cfg = dict(
        type="BCCDDataset", data_root=root, ann_file="ImageSets/Main/train.txt", pipeline=PIPELINE
    )
    return DATASETS.build({**cfg, **kwargs})


def test_boxes_and_labels(tmp_path):
    root = make(tmp_path, {"a": [("WBC", 1, 1, 21, 31), ("Platelets", 5, 6, 15, 16)]})
    info = load(root).get_data_info(0)
    assert [i["bbox"] for i in info["instances"]] == [[0, 0, 20, 30], [4, 5, 14, 15]]
    assert [i["bbox_label"] for i in info["instances"]] == [1, 2]
    assert (info["width"], info["height"]) == (64, 48)


@pytest.mark.parametrize("box", [(9, 9, 9, 9), (9, 9, 9, 20), (9, 9, 20, 9), (20, 9, 9, 20)])
def test_a_box_without_area_is_dropped_with_a_warning(tmp_path, box, monkeypatch):
    said = []
    monkeypatch.setattr(
        "sakd_dense.datasets.voc.print_log", lambda text, *args, **kwargs: said.append(text)
    )
    root = make(tmp_path, {"a": [("RBC", 1, 1, 20, 20), ("RBC", *box)], "b": [("RBC", *box)]})
    dataset = load(root, test_mode=True)
    assert [len(dataset.get_data_info(i)["instances"]) for i in range(2)] == [1, 0]
    assert len(said) == 2
    assert "a.xml" in said[0] and "no area" in said[0]
    assert "b.xml" in said[1]


def test_images_without_boxes_can_be_left_out_of_training(tmp_path):
    root = make(tmp_path, {"a": [("RBC", 9, 9, 9, 9)], "b": [("RBC", 1, 1, 20, 20)]})
    assert len(load(root)) == 2
    assert len(load(root, filter_cfg=dict(filter_empty_gt=True))) == 1


def test_a_part_of_the_classes(tmp_path):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 9, 9), ("WBC", 1, 1, 21, 31)]})
    info = load(root, metainfo=dict(classes=("WBC",))).get_data_info(0)
    assert [i["bbox_label"] for i in info["instances"]] == [0]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder.*data_root"):
        load(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("ImageSets/Main/train.txt", "list of image ids"),
        ("JPEGImages/a.jpg", "image 'a'"),
        ("Annotations/a.xml", "boxes of 'a'"),
    ],
)
def test_missing_file(tmp_path, file, message):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 20, 20)]})
    (tmp_path / file).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        load(root)


def test_unknown_class(tmp_path):
    root = make(tmp_path, {"a": [("Cat", 1, 1, 20, 20)]})
    with pytest.raises(ValueError, match=r"a\.xml.*'Cat'.*Platelets"):
        load(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", "not a readable XML"),
        ("<annotation><object><name>RBC</name></object></annotation>", "bndbox"),
        (
            "<annotation><object><name>RBC</name><bndbox><xmin>one</xmin></bndbox></object>"
            "</annotation>",
            "bndbox",
        ),
    ],
)
def test_broken_xml(tmp_path, text, message):
    root = make(tmp_path, {"a": []})
    (tmp_path / "Annotations/a.xml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load(root)


@pytest.mark.parametrize("text", ["", "\n", " \n\t\r\n"])
def test_empty_list(tmp_path, text):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 20, 20)]})
    (tmp_path / "ImageSets/Main/train.txt").write_text(text)
    with pytest.raises(ValueError, match="lists no image"):
        load(root)


@pytest.mark.parametrize(
    "text", ["a\n\nb\n", "\n\na\nb", "a\r\n\r\nb\r\n", " a \n\t\nb\t\n \n", "\ufeffa\nb\n"]
)
def test_a_list_with_blanks_and_empty_lines(tmp_path, text):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 20, 20)], "b": [("WBC", 1, 1, 20, 20)]})
    (tmp_path / "ImageSets/Main/train.txt").write_bytes(text.encode())
    dataset = load(root)
    assert [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))] == ["a", "b"]


PADDED = "\n    {}\t\n  "


@pytest.mark.parametrize("padding", ["{} ", " {}", PADDED])
@pytest.mark.parametrize("value", ["WBC", "0", "21", "64"])
def test_blanks_around_a_value_are_no_part_of_it(tmp_path, padding, value):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 9, 9), ("WBC", 2, 3, 21, 31)]})
    clean = load(root).get_data_info(0)
    file = tmp_path / "Annotations/a.xml"
    file.write_text(file.read_text().replace(f">{value}<", f">{padding.format(value)}<"))
    padded = load(root).get_data_info(0)
    assert padded == clean and len(padded["instances"]) == 2


def test_class_names_of_a_file_may_have_blanks_around_them(tmp_path):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 9, 9), ("WBC", 1, 1, 21, 31)]})
    (tmp_path / "classes.txt").write_text("WBC \n\n RBC\n")
    dataset = load(root, metainfo=dict(classes=str(tmp_path / "classes.txt")))
    assert dataset.metainfo["classes"] == ("WBC", "RBC")
    assert [i["bbox_label"] for i in dataset.get_data_info(0)["instances"]] == [1, 0]


@pytest.mark.parametrize(("text", "ignored"), [("1", 1), (" 1\n", 1), ("0", 0), ("", 0), (" ", 0)])
def test_difficult_objects(tmp_path, text, ignored):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 9, 9)]})
    file = tmp_path / "Annotations/a.xml"
    file.write_text(file.read_text().replace("<difficult>0", f"<difficult>{text}"))
    assert load(root).get_data_info(0)["instances"][0]["ignore_flag"] == ignored


def test_difficult_must_be_0_or_1(tmp_path):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 9, 9)]})
    file = tmp_path / "Annotations/a.xml"
    file.write_text(file.read_text().replace("<difficult>0", "<difficult>yes"))
    with pytest.raises(ValueError, match=r"a\.xml: object 0 \(RBC\).*yes.*write 0 or 1"):
        load(root)


@pytest.mark.parametrize(
    "size",
    [
        "",
        "<size/>",
        "<size><width/><height>48</height></size>",
        "<size><width>0</width><height>0</height></size>",
        "<size><width>wide</width><height>48</height></size>",
    ],
)
def test_a_size_that_the_file_lacks_is_the_images(tmp_path, size):
    root = make(tmp_path, {"a": [("RBC", 1, 1, 9, 9)]})
    file = tmp_path / "Annotations/a.xml"
    whole = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    assert whole in file.read_text()
    file.write_text(file.read_text().replace(whole, size))
    info = load(root).get_data_info(0)
    assert (info["width"], info["height"]) == (64, 48)


def test_perfect_boxes_score_one_in_coco_metric(tmp_path):
    """CocoMetric takes the true boxes from the data set, in pixels of the original images."""
    import torch
    from mmengine.structures import InstanceData

    root = make(
        tmp_path,
        {"a": [("WBC", 1, 1, 21, 31), ("RBC", 30, 5, 50, 25)], "b": [("Platelets", 5, 6, 15, 16)]},
    )
    dataset = load(root, test_mode=True)
    evaluator = Evaluator(dict(type="CocoMetric", ann_file=None, metric="bbox"))
    evaluator.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        sample = dataset[i]["data_samples"]
        truth = dataset.get_data_info(i)["instances"]
        sample.pred_instances = InstanceData(
            bboxes=torch.tensor([t["bbox"] for t in truth], dtype=torch.float32),
            labels=torch.tensor([t["bbox_label"] for t in truth]),
            scores=torch.ones(len(truth)),
        )
        evaluator.process([sample])
    metrics = evaluator.evaluate(len(dataset))
    assert metrics["coco/bbox_mAP"] == metrics["coco/bbox_mAP_75"] == 1.0
