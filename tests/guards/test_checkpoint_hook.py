"""A killed run goes on as if it had never stopped, from a checkpoint that is whole."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook

from sakd_dense.guards import checkpoint_hook
from sakd_dense.guards.run import newest_whole_checkpoint, tidy
from sakd_dense.runtime.errors import UserError
from sakd_dense.transfer.read import load_safely
from tests.helpers.runs import forget_runs
from tests.helpers.toy_runs import ToyMetric, toy_runner


class Killed(BaseException):
    """Nothing in a run handles it."""


class Kill(Hook):
    """At the start of an iteration, or of a batch of a validation."""

    def __init__(self, iteration: int, phase: str = "train") -> None:
        self.iteration, self.phase = iteration, phase

    def before_train_iter(self, runner: Any, **_: Any) -> None:
        if self.phase == "train" and runner.iter == self.iteration:
            raise Killed

    def before_val_iter(self, runner: Any, **_: Any) -> None:
        if self.phase == "val" and runner.iter == self.iteration:
            raise Killed


def kill(work_dir: Path, hook: Hook, **options: Any) -> None:
    runner = toy_runner(work_dir, **options)
    runner.register_hook(hook)
    with pytest.raises(Killed):
        runner.train()


def final(work_dir: Path) -> dict[str, Any]:
    """All of the last checkpoint but its time and its log."""
    content = load_safely(Path((work_dir / "last_checkpoint").read_text()))
    return {k: v for k, v in content.items() if k not in ("meta", "message_hub")}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if torch.is_tensor(one) else one == other


@pytest.fixture(autouse=True)
def no_metrics_yet():
    ToyMetric.times = 0


@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize(("iteration", "phase"), [(0, "train"), (6, "train"), (8, "val")])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(
    tmp_path: Path, by_epoch: bool, iteration: int, phase: str
):
    toy_runner(tmp_path / "whole", by_epoch).train()
    kill(tmp_path / "killed", Kill(iteration, phase), by_epoch=by_epoch)
    toy_runner(tmp_path / "killed", by_epoch, resume=True).train()
    assert same(final(tmp_path / "whole"), final(tmp_path / "killed"))
    names = [sorted(p.name for p in (tmp_path / n).glob("*.pth")) for n in ("whole", "killed")]
    assert names[0] == names[1]


def test_mmengines_own_hook_does_not_end_there(tmp_path: Path):
    toy_runner(tmp_path / "whole", guarded=False).train()
    kill(tmp_path / "killed", Kill(6), guarded=False)
    toy_runner(tmp_path / "killed", guarded=False, resume=True).train()
    assert not same(final(tmp_path / "whole"), final(tmp_path / "killed"))


def test_workers_draw_the_same_after_a_resume(tmp_path: Path):
    workers = dict(train_dataloader__num_workers=1, train_dataloader__persistent_workers=True)
    toy_runner(tmp_path / "whole", **workers).train()
    kill(tmp_path / "killed", Kill(6), **workers)
    toy_runner(tmp_path / "killed", resume=True, **workers).train()
    assert same(final(tmp_path / "whole"), final(tmp_path / "killed"))


def test_a_validation_draws_nothing_from_the_training(tmp_path: Path):
    toy_runner(tmp_path / "with").train()
    toy_runner(tmp_path / "without", train_cfg__val_interval=100).train()
    one, other = (final(tmp_path / n) for n in ("with", "without"))
    assert same(one["state_dict"], other["state_dict"])


def test_a_validation_that_was_cut_short_is_run_and_a_finished_one_is_not(tmp_path: Path):
    kill(tmp_path / "run", Kill(16, "val"))  # the last of all
    assert ToyMetric.times == 3
    toy_runner(tmp_path / "run", resume=True).train()
    assert ToyMetric.times == 4
    toy_runner(tmp_path / "run", resume=True).train()
    assert ToyMetric.times == 4


def test_half_a_checkpoint_is_never_taken_for_a_whole_one(tmp_path: Path, monkeypatch):
    work_dir, put = tmp_path / "run", LocalBackend.put

    def half(self, obj: bytes, filepath: Path) -> None:
        if "epoch_3" in str(filepath):
            Path(filepath).write_bytes(obj[: len(obj) // 2])
            raise Killed
        put(self, obj, filepath)

    monkeypatch.setattr(LocalBackend, "put", half)
    kill(work_dir, Hook())
    monkeypatch.undo()
    assert not (work_dir / "epoch_3.pth").exists()
    assert newest_whole_checkpoint(str(work_dir)) == str(work_dir / "epoch_2.pth")


def test_the_old_checkpoint_goes_after_the_new_one_is_whole(tmp_path: Path, monkeypatch):
    def killed(backend: Any, paths: list[str]) -> None:
        if paths:
            raise Killed

    monkeypatch.setattr(checkpoint_hook, "_remove", killed)
    kill(tmp_path / "run", Hook(), default_hooks__checkpoint__save_best=None)
    assert {p.name for p in (tmp_path / "run").glob("*.pth")} == {"epoch_1.pth", "epoch_2.pth"}
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith("epoch_2.pth")


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, capfd):
    toy_runner(tmp_path / "run", default_hooks__checkpoint__max_keep_ckpts=2).train()
    last = tmp_path / "run" / "epoch_4.pth"
    last.write_bytes(last.read_bytes()[:-100])
    forget_runs()  # its logger says errors alone
    assert newest_whole_checkpoint(str(tmp_path / "run")).endswith("epoch_3.pth")
    assert "epoch_4.pth" in capfd.readouterr().out
    (tmp_path / "run" / "last_checkpoint").write_text("")
    assert newest_whole_checkpoint(str(tmp_path / "run")).endswith("epoch_3.pth")
    (tmp_path / "run" / "epoch_3.pth").unlink()
    with pytest.raises(UserError, match=r"no checkpoint in .*run is intact: .*epoch_4"):
        newest_whole_checkpoint(str(tmp_path / "run"))
    assert newest_whole_checkpoint(str(tmp_path / "nothing")) is None


def test_a_copied_or_moved_run_resumes_from_its_own_checkpoint(tmp_path: Path):
    """Not from the one of the run that it was copied from, which has gone on since."""
    toy_runner(tmp_path / "run").train()
    for move in (shutil.copytree, shutil.move):
        other = tmp_path / move.__name__
        move(tmp_path / "run", other)
        named = Path((other / "last_checkpoint").read_text())
        assert named.parent != other
        assert newest_whole_checkpoint(str(other)) == str(other / named.name)


def test_a_pointer_to_another_folder_is_an_error_that_names_both(tmp_path: Path):
    toy_runner(tmp_path / "run").train()
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "run" / "last_checkpoint", copy)
    with pytest.raises(UserError, match=rf"{copy} has no checkpoint, and .* names .*run/epoch_4"):
        newest_whole_checkpoint(str(copy))
    # A hook may write them elsewhere.
    assert newest_whole_checkpoint(str(copy), str(tmp_path / "run")).endswith("run/epoch_4.pth")


def test_what_a_killed_run_left_is_removed(tmp_path: Path):
    (tmp_path / "_unfinished-999999999_epoch_1.pth").write_text("half")
    (tmp_path / "_unfinished-mine.txt").write_text("not ours")
    tidy(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["_unfinished-mine.txt"]


class Spoil(Hook):
    """Weights become NaN in the second epoch."""

    def after_train_iter(self, runner: Any, **_: Any) -> None:
        if runner.iter == 7:
            next(runner.model.parameters()).data[0] = float("nan")


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path):
    runner = toy_runner(tmp_path / "run")
    runner.register_hook(Spoil())
    with pytest.raises(UserError, match=r"iteration 8: .*net\.0\.weight.*epoch_1\.pth"):
        runner.train()
    assert (tmp_path / "run" / "epoch_1.pth").is_file()
    assert not (tmp_path / "run" / "epoch_2.pth").exists()
