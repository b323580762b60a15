"""Images that cannot be read: replaced, counted and named in training, refused in test."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations

from sakd_dense.guards.broken_images import BrokenImageHook
from sakd_dense.runtime.errors import MissingFileError, UserError
from tests.helpers.toy_runs import LoadToy, add_noise, toy_runner

TRAIN, VAL = "train_dataloader__dataset__pipeline", "val_dataloader__dataset__pipeline"


def run(tmp_path: Path, split: str, loads: LoadToy, **changes) -> None:
    runner = toy_runner(tmp_path / "run", **{split: [loads, add_noise]}, **changes)
    runner.train()


@pytest.mark.parametrize("gives_none", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named_once_and_counted(tmp_path, capfd, gives_none, workers):
    loads = LoadToy(bad=(5,), gives_none=gives_none)
    run(tmp_path, TRAIN, loads, log_level="INFO", train_dataloader__num_workers=workers)
    said = capfd.readouterr().out
    assert said.count(f"{tmp_path}/5.png cannot be read") == 1
    assert said.count("1 of the 16 images of ToyDataset could not be read") == 4


def test_whole_images_are_not_spoken_of(tmp_path, capfd):
    run(tmp_path, TRAIN, LoadToy(), log_level="INFO")
    assert "not be read" not in capfd.readouterr().out


def test_too_many_are_a_broken_set(tmp_path):
    with pytest.raises(UserError, match=r"2 of 16 images cannot be read.*share of 0\.1"):
        run(tmp_path, TRAIN, LoadToy(bad=(3, 5)))


@pytest.mark.parametrize("gives_none", [True, False])
def test_a_metric_is_of_all_images(tmp_path, gives_none):
    with pytest.raises(UserError, match=r"ToyDataset: .*2\.png cannot be read .*Repair the file"):
        run(tmp_path, VAL, LoadToy(bad=(2,), gives_none=gives_none))


def test_a_folder_that_vanishes_is_named(tmp_path):
    loads = LoadToy(bad=(1,))
    gone = dict(train_dataloader__dataset__data_root=str(tmp_path / "gone"))
    with pytest.raises(MissingFileError, match=r"the folder .*gone of 1\.png no longer exists"):
        run(tmp_path, TRAIN, loads, **gone)


def test_an_error_behind_the_loading_is_a_bug_and_stays_one(tmp_path):
    def fails(data):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        toy_runner(tmp_path / "run", **{TRAIN: [LoadToy(), fails]}).train()


@pytest.mark.parametrize("share", [-0.1, 1.1, "all", None, True, float("nan")])
def test_share_is_a_share(share):
    with pytest.raises(UserError, match="share="):
        BrokenImageHook(share=share)


def test_the_field_that_annotations_lack_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    box = dict(image_id=1, category_id=1, bbox=[2, 2, 20, 20], area=400, iscrowd=0)
    masked = dict(box, id=1, segmentation=[[2, 2, 22, 2, 22, 22]])
    content = dict(
        images=[dict(id=1, file_name="a.png", height=32, width=32)],
        categories=[dict(id=1, name="cell")],
        annotations=[masked, dict(box, id=2)],
    )
    (tmp_path / "a.json").write_text(json.dumps(content))
    dataset = CocoDataset(
        ann_file=str(tmp_path / "a.json"),
        data_prefix=dict(img=f"{tmp_path}/"),
        metainfo=dict(classes=("cell",)),
        pipeline=[dict(type="LoadImageFromFile"), LoadAnnotations(with_mask=True)],
    )
    loader = SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset))
    BrokenImageHook().before_train(loader)
    with pytest.raises(UserError, match="1 of its 2 annotations have no 'segmentation'"):
        dataset[0]
