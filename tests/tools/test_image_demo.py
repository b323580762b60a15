"""tools/image_demo.py: every task, every kind of picture, and what it refuses."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from sakd_dense.config.teacher import teacher_of
from sakd_dense.datasets.events import write_dat
from tests.helpers.finished_runs import finish
from tests.helpers.recordings import some_events
from tests.helpers.scenes import detection_config, retinanet, write_pure_python, write_scenes
from tests.helpers.tooling import tool
from tests.test_road import load

main = tool("image_demo")
TITLES = ["teacher (ANN)", "SNN, T = 1", "SNN, T = 3"]
TASKS = {
    "retinanet_sew18_sakd_digits": r"\d+ boxes",
    "fcn_sew18_sakd_digits": r"\w+ \d+\.\d%(, \w+ \d+\.\d%)*",
    "sew18_sakd_digits": r"\d 0\.\d\d",
    "sew18_sakd_digit-events": r"\d 0\.\d\d",
}


def write_picture(folder: Path, events: bool = False) -> str:
    rng = np.random.default_rng(0)
    if events:
        np.savez(folder / "picture.npz", frames=rng.integers(0, 3, (8, 2, 32, 32), np.uint8))
        return str(folder / "picture.npz")
    cv2.imwrite(str(folder / "picture.png"), rng.integers(0, 255, (64, 80, 3), np.uint8))
    return str(folder / "picture.png")


def draw(run: Path, image: str, *arguments: str) -> Path:
    """The picture that image_demo makes of ``image`` with the student in ``run``."""
    out = run / "out.png"
    files = [image, str(run / f"{run.name}.py"), str(run / "epoch_1.pth")]
    main([*files, "--out", str(out), *arguments])
    return out


def detector(folder: Path, **changes) -> Config:
    write_scenes(folder)
    hook = dict(type="SAKDHook", teacher=dict(checkpoint="set by finish"))
    cfg = detection_config(folder, retinanet(**changes), custom_hooks=[hook])
    cfg.test_dataloader.dataset.pipeline[0].update(imdecode_backend="cv2")
    return cfg


@pytest.mark.parametrize("task", TASKS)
def test_teacher_and_every_time_step_of_every_task(task, tmp_path, capsys):
    run = finish(load(task, tmp_path), tmp_path / "run")
    image = write_picture(tmp_path, events="events" in task)
    capsys.readouterr()
    out = draw(run, image, "--time-steps", "1", "3", "--score-thr", "0")
    lines = capsys.readouterr().out.splitlines()
    said = dict(line.split(": ") for line in lines if ": " in line)
    assert list(said) == TITLES
    assert all(re.fullmatch(TASKS[task], summary) for summary in said.values()), said
    with Image.open(out) as picture:
        assert picture.width > 2 * picture.height
        panels = np.array_split(np.asarray(picture.convert("L"), dtype=float), 3, axis=1)
        assert all(panel.std() > 10 for panel in panels)
    if "events" in task:
        with pytest.raises(SystemExit, match="T=9 .* 8 event frames"):
            draw(run, image, "--time-steps", "9")


def test_an_ann_and_its_refusals(tmp_path, capsys):
    cfg = detector(tmp_path)
    cfg.model, cfg.custom_hooks = teacher_of(cfg), []
    run = finish(cfg, tmp_path / "run")
    draw(run, write_picture(tmp_path), "--score-thr", "0.9")
    assert "ANN: 0 boxes" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no time steps"):
        draw(run, write_picture(tmp_path), "--time-steps", "1")


def test_a_pure_python_config(tmp_path, capsys):
    cfg = detector(tmp_path, time_steps=2)
    teacher = str(finish(cfg, tmp_path / "run") / "teacher.pth")
    write_pure_python(cfg, tmp_path / "run" / "run.py")
    DefaultScope._instance_dict.clear()
    draw(tmp_path / "run", str(tmp_path / "0.png"), "--teacher-checkpoint", teacher)
    said = capsys.readouterr().out
    assert "teacher (ANN): " in said and "SNN, T = 2: " in said


PICTURES = {
    "gray": np.full((64, 64), 90, np.uint8),
    "rgba": np.full((64, 64, 4), 90, np.uint8),
    "16 bit": np.full((64, 64, 3), 30000, np.uint16),
    "gray 16 bit": np.full((64, 64), 30000, np.uint16),
}


@pytest.mark.parametrize(
    "kind,color_type,channels,refusal",
    [
        *((kind, "color", 3, None) for kind in PICTURES),
        *((kind, "grayscale", 1, None) for kind in PICTURES),
        ("16 bit", "unchanged", 3, None),
        ("rgba", "unchanged", 3, "with 4 channels, but the model takes 3"),
        ("gray", "unchanged", 3, "with 1 channels, but the model takes 3"),
    ],
)
def test_pictures_of_every_kind(tmp_path, capsys, kind, color_type, channels, refusal):
    cfg = detector(tmp_path, in_channels=channels)
    cfg.test_dataloader.dataset.pipeline[0].color_type = color_type
    cfg.model.data_preprocessor.update(mean=[120.0] * channels, std=[60.0] * channels)
    run = finish(cfg, tmp_path / "run")
    image = str(tmp_path / "picture.png")
    cv2.imwrite(image, PICTURES[kind])
    if refusal:
        with pytest.raises(SystemExit, match=refusal):
            draw(run, image)
    else:
        draw(run, image)
        assert "SNN, T = 4: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "change,message",
    [
        (dict(image="nowhere.png"), "nowhere.png"),
        (dict(config="nowhere.py"), "nowhere.py"),
        (dict(checkpoint="nowhere.pth"), "nowhere.pth"),
        (dict(image="text.png"), "text.png' cannot be read by the config's LoadImageFromFile"),
        (dict(config="untested.py"), "untested.py has no pipeline to load an image with"),
        (dict(more=["--time-steps", "0"]), "2"),
        (dict(more=["--score-thr", "2"]), "2"),
    ],
)
def test_what_is_missing_or_unreadable_is_named(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    cfg = detector(tmp_path)
    run = finish(cfg, tmp_path / "run")
    (tmp_path / "text.png").write_text("no picture")
    cfg.update(test_dataloader=None, val_dataloader=None)
    cfg.dump(tmp_path / "untested.py")
    files = dict(image="0.png", config=str(run / "run.py"), checkpoint=str(run / "epoch_1.pth"))
    files.update(change)
    more = files.pop("more", [])
    with pytest.raises(SystemExit, match=message):
        main([*files.values(), "--out", "out.png", *more])
    assert not Path("out.png").exists()


def test_a_recording_is_drawn_with_its_bins(tmp_path, capsys):
    """What is found before a time stamp, and what the camera saw, bin by bin."""
    cfg = load("retinanet_sew18_sakd_digit-events", tmp_path)
    run = finish(cfg, tmp_path / "run")
    events = some_events(4000, stop=100_000)
    write_dat(tmp_path / "a_td.dat", events, (96, 96))
    out = draw(run, str(tmp_path / "a_td.dat"), "--timestamp", "90000", "--time-steps", "8")
    said = capsys.readouterr().out
    assert re.search(r"SNN, T = 8: \d+ boxes", said) and "out_bins.png" in said
    with Image.open(out.with_name("out_bins.png")) as picture:
        assert picture.width > 5 * picture.height
        panels = np.array_split(np.asarray(picture.convert("RGB"), dtype=int), 8, axis=1)
        for panel in panels:  # both polarities in each
            red, blue = panel[..., 0] - panel[..., 2], panel[..., 2] - panel[..., 0]
            assert (red > 100).any() and (blue > 100).any()
    with pytest.raises(SystemExit, match="a recording needs a time stamp"):
        draw(run, str(tmp_path / "a_td.dat"))
    last = int(events.t[-1])
    with pytest.raises(SystemExit, match=f"--timestamp 900000: .*last event is at {last} us"):
        draw(run, str(tmp_path / "a_td.dat"), "--timestamp", "900000")
