"""Data that is not there, and images that are broken, as a user meets them."""

from pathlib import Path

import pytest

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
