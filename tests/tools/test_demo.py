"""`make demo` in small: every stage, its files, and what a second start does."""

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from PIL import Image

from sakd_dense.demo import Demo, _DemoRunner
from tests.helpers.tooling import load_tool

STEPS = (1, 2)


def options(root: Path, epochs: int = 1) -> dict:
    scenes = dict(size=(64, 64), counts=(8, 4, 4), digits=(1, 2), digit_size=(20, 30))
    changes = {
        "model.backbone.base_channels": 8,
        "model.neck.in_channels": [8, 16, 32, 64],
        "model.neck.out_channels": 8,
        "model.bbox_head.in_channels": 8,
        "model.bbox_head.feat_channels": 8,
        "model.bbox_head.stacked_convs": 1,
        # Else a model hardly trained finds nothing, and COCO's metric has nothing to say.
        "model.test_cfg.score_thr": 0.0,
        "train_cfg.max_epochs": epochs,
        "train_cfg.val_interval": 1,
        "default_hooks.checkpoint.interval": 1,
    }
    for split in ("train", "val", "test"):
        changes[f"{split}_dataloader.dataset.data_root"] = str(root / "digits")
        changes[f"{split}_dataloader.dataset.scenes"] = scenes
        changes[f"{split}_dataloader.dataset.serialize_data"] = False  # takes half a second
    return changes


def make(root: Path, **kwargs) -> tuple[Demo, io.StringIO]:
    console = io.StringIO()
    return Demo(root / "demo", STEPS, options(root, **kwargs), console), console


@pytest.fixture(scope="module", autouse=True)
def plain_dumps():
    """MMEngine formats a config for half a second each time it logs or writes one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **kwargs: (text, False))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, Demo, str]:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("root")
    demo, console = make(root)
    demo.run()
    return root, demo, console.getvalue()


def test_it_ends_with_a_table_and_pictures(done):
    root, demo, said = done
    table = (demo.folder / "table.txt").read_text()
    assert table in said
    for name in ("ANN teacher", "SNN, level 1 alone", "SNN, SAKD", "mAP", "firing rate"):
        assert name in table
    results = json.loads((demo.folder / "results.json").read_text())
    assert {n: list(rows) for n, rows in results.items()} == {
        "teacher": ["None"],
        "level1": ["1", "2"],
        "sakd": ["1", "2"],
    }
    for name in ("time_steps.png", "boxes.png"):
        Image.open(demo.folder / name).verify()


def test_progress_is_shown_and_noise_is_not(done):
    _, _, said = done
    for stage in range(1, 6):
        assert f"{stage}/5" in said
    assert "Config:" not in said and "System environment" not in said
    assert "creating index" not in said


def test_students_differ_only_in_how_they_are_taught(done):
    _, demo, _ = done
    level1, sakd = (demo.config(name).to_dict() for name in ("level1", "sakd"))
    different = {k for k in {**level1, **sakd} if level1.get(k) != sakd.get(k)}
    assert different == {"model", "custom_hooks", "work_dir"}
    assert level1["model"].pop("init_cfg")["checkpoint"] == str(demo.checkpoint("teacher"))
    assert level1["model"] == sakd["model"]
    assert sakd["custom_hooks"][0]["teacher"]["checkpoint"] == str(demo.checkpoint("teacher"))


def test_a_second_start_trains_nothing(done, monkeypatch):
    root, _, _ = done
    monkeypatch.setattr(_DemoRunner, "train", None)
    monkeypatch.setattr(_DemoRunner, "test", None)
    demo, console = make(root)
    demo.run()
    assert console.getvalue().count("done before") == 3


def test_other_settings_begin_anew(done, tmp_path, monkeypatch):
    class Trains(Exception):
        pass

    def train(cfg, console):
        raise Trains

    _, demo, _ = done
    again, _ = make(tmp_path)
    shutil.copytree(demo.folder / "teacher", again.folder / "teacher")
    _recipe_as_if(again, "teacher")
    monkeypatch.setattr(_DemoRunner, "build_for", train)
    again._train("teacher", again.config("teacher"))  # as it was: nothing to do
    changed, _ = make(tmp_path, epochs=2)
    with pytest.raises(Trains):
        changed._train("teacher", changed.config("teacher"))
    assert not changed.checkpoint("teacher").exists()


def _recipe_as_if(demo: Demo, name: str) -> None:
    recipe = demo._recipe(name, demo.config(name))
    (demo.folder / name / "recipe.json").write_text(json.dumps(recipe))


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    demo, _ = make(tmp_path, epochs=2)
    demo._make_data()
    epochs = []

    def stop(self, *args):
        epochs.append(self.epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return run_iter(self, *args)

    run_iter = EpochBasedTrainLoop.run_iter
    monkeypatch.setattr(EpochBasedTrainLoop, "run_iter", stop)
    with pytest.raises(KeyboardInterrupt):
        demo._train("teacher", demo.config("teacher"))
    assert not demo.checkpoint("teacher").exists()
    again, console = make(tmp_path, epochs=2)
    again._train("teacher", again.config("teacher"))
    assert "going on from the last checkpoint" in console.getvalue()
    assert epochs == [0, 1, 1]
    assert again.checkpoint("teacher").exists()


def test_foreign_files_are_left_alone(tmp_path):
    demo, _ = make(tmp_path)
    (demo.folder / "teacher").mkdir(parents=True)
    (demo.folder / "teacher" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not this demo's"):
        demo._train("teacher", demo.config("teacher"))
    assert (demo.folder / "teacher" / "mine.txt").exists()


def test_tool_names_bad_time_steps(capsys):
    with pytest.raises(SystemExit):
        load_tool("demo").main(["--time-steps", "0"])
    assert "--time-steps" in capsys.readouterr().err
