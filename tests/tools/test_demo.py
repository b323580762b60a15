"""`make demo` in small: the tools it runs, their files, and what a second start does."""

import contextlib
import io
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop

from sakd_dense.timesteps import SweepResult
from tests.helpers.runs import forget_runs
from tests.helpers.tooling import TOOLS, load_tool

demo = load_tool("demo")


def arguments(root: Path, *steps: int, **options: object) -> list[str]:
    """Of tools/demo.py, for few small scenes and narrow models."""
    changes = {
        "model.backbone.base_channels": 8,
        "model.neck.in_channels": "[8,16,32,64]",
        "model.neck.out_channels": 8,
        "model.bbox_head.in_channels": 8,
        "model.bbox_head.feat_channels": 8,
        "model.bbox_head.stacked_convs": 1,
        # Else a model hardly trained finds nothing, and COCO's metric has nothing to say.
        "model.test_cfg.score_thr": 0.0,
        "train_cfg.max_epochs": 1,
        "train_cfg.val_interval": 1,
        "default_hooks.checkpoint.interval": 1,
    }
    for split in ("train", "val", "test"):
        dataset = f"{split}_dataloader.dataset"
        changes[f"{dataset}.data_root"] = root / "digits"
        changes[f"{dataset}.serialize_data"] = False  # takes half a second
        changes[f"{dataset}.scenes.size"] = "(64,64)"
        changes[f"{dataset}.scenes.counts"] = "(8,4,4)"
        changes[f"{dataset}.scenes.digits"] = "(1,2)"
        changes[f"{dataset}.scenes.digit_size"] = "(20,30)"
    changes |= {key.replace("__", "."): value for key, value in options.items()}
    pairs = [f"{key}={value}" for key, value in changes.items()]
    places = ["--work-dir", str(root / "my demo"), "--time-steps", *map(str, steps or (1, 2))]
    return [*places, "--cfg-options", *pairs]


class InThisProcess:
    """In place of ``subprocess.Popen``: the same tool with the same arguments, without a start."""

    tools: list[str] = []

    def __init__(self, command: list[str], **kwargs: object) -> None:
        self.tools.append(Path(command[1]).stem)
        self.stdout, self.returncode = io.StringIO(), 1
        forget_runs()
        with contextlib.redirect_stdout(self.stdout), contextlib.redirect_stderr(self.stdout):
            try:
                load_tool(self.tools[-1]).main(command[2:])
                self.returncode = 0
            except SystemExit as error:
                print(error)
            except Exception:
                traceback.print_exc()
        self.stdout.seek(0)

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "Popen", InThisProcess)
        # MMEngine formats a config for half a second each time it logs or writes one.
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **kwargs: (text, False))
        yield


def tools_of(argv: list[str]) -> list[str]:
    """Which tools a start of the demo runs."""
    InThisProcess.tools.clear()
    demo.main(argv)
    return list(InThisProcess.tools)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a demo, and what it printed."""
    torch.manual_seed(0)
    root, printed = tmp_path_factory.mktemp("root"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        tools = tools_of(arguments(root))
    assert tools == ["train"] * 3 + ["test"] * 3 + ["report"]
    return root / "my demo", printed.getvalue()


def test_it_ends_with_a_table_and_a_report(done):
    folder, printed = done
    table = printed[printed.index("\n\n") :]
    for word in ("ANN teacher", "SNN, level 1 alone", "SNN, SAKD", "mAP", "firing rate"):
        assert word in table
    sweeps = {n: SweepResult.from_json(folder / f"{n}-test" / "sweep.json") for n in demo.MODELS}
    rows = {name: list(sweep.at_counts(None)) for name, sweep in sweeps.items()}
    assert rows == {"teacher": [None], "level1": [1, 2], "sakd": [1, 2]}
    report = folder / "sakd-test" / "report.html"
    assert str(report) in table
    assert "level1" in report.read_text()


def test_progress_is_shown_and_noise_is_not(done):
    folder, printed = done
    for name in demo.MODELS.values():
        assert f"{name}: tools/train.py, 1 epochs" in printed
    assert printed.count("Epoch(train)") == 3 and "bbox_mAP" in printed
    for noise in ("Config:", "System environment", "creating index"):
        assert noise not in printed
    assert "System environment" in (folder / "sakd.log").read_text()


def config(folder: Path, name: str) -> dict:
    return Config.fromfile(folder / "configs" / f"{name}.py").to_dict()


def test_students_differ_only_in_how_they_are_taught(done):
    folder, _ = done
    teacher = str(folder / "teacher" / "epoch_1.pth")
    level1, sakd = (config(folder, name) for name in ("level1", "sakd"))
    assert {k for k in {**level1, **sakd} if level1.get(k) != sakd.get(k)} == {
        "model",
        "custom_hooks",
    }
    assert level1["custom_hooks"] == []
    assert level1["model"].pop("init_cfg") == dict(type="SAKDTransfer", checkpoint=teacher)
    assert level1["model"] == sakd["model"]
    assert sakd["custom_hooks"][0]["teacher"]["checkpoint"] == teacher
    assert level1["randomness"] == config(folder, "teacher")["randomness"] == dict(seed=0)


def test_a_second_start_trains_nothing_and_reads_only_other_time_steps(done, capsys):
    folder, _ = done
    assert tools_of(arguments(folder.parent)) == ["report"]
    assert capsys.readouterr().out.count("done before") == 6
    assert tools_of(arguments(folder.parent, 1)) == ["test", "test", "report"]
    assert list(SweepResult.from_json(folder / "sakd-test" / "sweep.json").at_counts(None)) == [1]


def test_other_settings_are_refused_with_the_way_out(done):
    folder, _ = done
    with pytest.raises(
        SystemExit, match=r"teacher holds a model with other settings \(config .*remove"
    ):
        demo.main(arguments(folder.parent, train_cfg__max_epochs=2))
    assert (folder / "teacher" / "epoch_1.pth").exists()


def test_students_of_another_teacher_are_refused(done):
    folder, _ = done
    teacher = folder / "teacher" / "epoch_1.pth"
    content = teacher.read_bytes()
    teacher.write_bytes(content + b"0")
    try:
        with pytest.raises(SystemExit, match=r"level1 .* a model with other .*\(teacher changed"):
            demo.main(arguments(folder.parent))
    finally:
        teacher.write_bytes(content)


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch, capsys):
    epochs = []

    def stop(self, *args):
        epochs.append(self.epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return run_iter(self, *args)

    run_iter = EpochBasedTrainLoop.run_iter
    monkeypatch.setattr(EpochBasedTrainLoop, "run_iter", stop)
    argv = arguments(tmp_path, train_cfg__max_epochs=2)
    with pytest.raises(SystemExit, match="resumes from the last checkpoint"):
        demo.main(argv)
    assert not (tmp_path / "my demo" / "teacher" / "epoch_2.pth").exists()
    _, checkpoint = demo.train(demo.parse_args(argv), "teacher", None)
    assert "resuming from the last checkpoint" in capsys.readouterr().out
    assert epochs == [0, 1, 1]
    assert checkpoint.exists()


def test_a_tool_that_fails_is_named_with_its_log(tmp_path):
    argv = arguments(tmp_path, model__backbone__depth=17)
    with pytest.raises(SystemExit, match=r"(?s)tools/train.py failed.*my demo/teacher.log.*17"):
        demo.main(argv)


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "my demo" / "teacher").mkdir(parents=True)
    (tmp_path / "my demo" / "teacher" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match="this demo did not write"):
        demo.main(arguments(tmp_path))
    assert (tmp_path / "my demo" / "teacher" / "mine.txt").exists()


def test_tool_names_bad_time_steps(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--time-steps", "0"])
    assert "--time-steps" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tool_runs_in_a_process_of_its_own(tmp_path, monkeypatch, capsys):
    """One tool is enough: the tests above run the others with the same arguments."""
    monkeypatch.setattr(demo, "Popen", subprocess.Popen)
    _, checkpoint = demo.train(demo.parse_args(arguments(tmp_path)), "teacher", None)
    assert checkpoint.exists()
    assert "Epoch(train)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_user_starts_it_and_reads_which_tool_failed(tmp_path):
    command = [sys.executable, str(TOOLS / "demo.py")]
    command += arguments(tmp_path, model__backbone__depth=17)
    run = subprocess.run(command, cwd=TOOLS.parent, capture_output=True, text=True)
    assert run.returncode == 1
    assert "tools/train.py failed" in run.stderr and "17" in run.stderr
