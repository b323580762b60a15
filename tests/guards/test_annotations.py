"""Data that is not there, annotations that are wrong and broken images, as a user meets them."""

import json
import re
from pathlib import Path

import pytest

from sakd_dense.guards.annotations import coco_fault
from tests.helpers.small_run import write_config
from tests.helpers.tooling import tool

train = tool("train")


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    gone = str(tmp_path / "gone")
    options = ["--cfg-options", f"train_dataloader.dataset.data_root={gone}"]
    with pytest.raises(SystemExit) as caught:
        train([config, "--work-dir", str(tmp_path / "run"), *options])
    said = str(caught.value)
    assert said.startswith(f"error: data: {gone}/ann.json does not exist (train_dataloader: Coco")
    assert "--cfg-options" in said


def test_a_broken_image_does_not_end_a_run_and_many_do(tmp_path: Path, capfd) -> None:
    config = write_config(tmp_path)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(SystemExit, match=r"CocoDataset: 1 of 4 images cannot be read.*1\.png"):
        train([config, "--work-dir", str(tmp_path / "few")])
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    hook = "custom_hooks=[dict(type='BrokenImageHook',share=0.5)]"
    (tmp_path / "lenient.py").write_text(f"_base_ = 'ann.py'\n{hook}\n")
    train([str(tmp_path / "lenient.py"), "--work-dir", str(tmp_path / "run")])
    assert (tmp_path / "run" / "epoch_1.pth").is_file()


def changed(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["images"][1].pop("width"), r"images\[1\] has no 'width'"),
        (lambda c: c["images"].clear(), "'images' is empty"),
        (lambda c: c.pop("categories"), "'categories' is missing"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2]), r"\['bbox'\] is \[1, 2\], not"),
        (lambda c: c["annotations"][0].update(area=None), r"\['area'\] is None, not"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "occurs twice"),
        (
            lambda c: [k.update(name=f"other {k['id']}") for k in c["categories"]],
            r"none of the categories in .*ann\.json is a class .*\(a, b\): set metainfo",
        ),
    ],
)
def test_what_is_wrong_in_annotations_is_named(tmp_path: Path, change, says: str) -> None:
    config = write_config(tmp_path)
    changed(tmp_path / "ann.json", change)
    with pytest.raises(SystemExit, match=says) as caught:
        train([config, "--work-dir", str(tmp_path / "run")])
    assert str(tmp_path / "ann.json") in str(caught.value)


def test_classes_that_leave_no_image_are_named(tmp_path: Path) -> None:
    """A filter for empty images leaves none, and mmdet has nothing to concatenate."""
    config = Path(write_config(tmp_path))
    changed(tmp_path / "ann.json", lambda c: [k.update(name="z") for k in c["categories"]])
    options = ["--cfg-options", "train_dataloader.dataset.filter_cfg.filter_empty_gt=True"]
    with pytest.raises(SystemExit, match=r"ann\.json: none of its categories \(\['z', 'z'\]\)"):
        train([str(config), "--work-dir", str(tmp_path / "run"), *options])


def test_a_set_of_which_no_image_is_left_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    changed(tmp_path / "ann.json", lambda c: c["annotations"].clear())
    options = ["--cfg-options", "train_dataloader.dataset.filter_cfg.filter_empty_gt=True"]
    with pytest.raises(SystemExit, match=r"ann\.json: CocoDataset has no image left.*filter_empty"):
        train([config, "--work-dir", str(tmp_path / "run"), *options])


def test_some_classes_that_are_missing_are_a_warning(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    changed(tmp_path / "ann.json", lambda c: c["categories"].pop())
    train([config, "--work-dir", str(tmp_path / "run")])
    log = next((tmp_path / "run").rglob("*.log")).read_text()
    assert "has 1 of the data set's 2 classes (a, b)" in log


def test_half_an_annotation_file_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    file = tmp_path / "ann.json"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SystemExit, match=r"ann\.json is not a complete JSON file"):
        train([config, "--work-dir", str(tmp_path / "run")])


@pytest.mark.parametrize(
    ("outline", "says"),
    [
        (None, "has no 'segmentation'"),
        ([], "not polygons"),
        ([[1, 2, 3]], "not polygons"),
        (dict(size=[64, 64], counts=[5, 5]), "not polygons"),
        (dict(size=[2, 5], counts=[5, 5]), r"is \[2, 5\], but its image has the size \[\d+, \d+\]"),
    ],
)
def test_outlines_that_masks_need_are_named(tmp_path: Path, outline, says: str) -> None:
    write_config(tmp_path)
    assert coco_fault(tmp_path / "ann.json") is None

    def change(content):
        for annotation in content["annotations"]:
            annotation.pop("segmentation", None)
            if outline is not None:
                annotation["segmentation"] = outline

    changed(tmp_path / "ann.json", change)
    assert re.search(says, coco_fault(tmp_path / "ann.json", masks=True))
