"""Files are there whole or not at all, also on a disk that is full."""

import os
import resource
import stat
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from safetensors.torch import save_file

from sakd_dense.runtime.errors import UserError, message_of
from sakd_dense.runtime.files import replacing, whole_local_files
from tests.helpers.toy_runs import toy_runner


@pytest.fixture
def full_disk():
    """No file may grow above 5 kB: the system refuses it as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_bytes(path: Path) -> None:
    path.write_bytes(b"x" * 100_000)


def write_torch(path: Path) -> None:
    torch.save({"a": torch.zeros(100_000)}, path)


def write_safetensors(path: Path) -> None:
    save_file({"a": torch.zeros(100_000)}, path)


WRITERS = [write_bytes, write_torch, write_safetensors]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("before", [True, False])
def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, full_disk, write, before):
    file = tmp_path / "file.pth"
    if before:
        file.write_text("before")
    kept = "unchanged" if before else "no incomplete file is left"
    with (
        pytest.raises(UserError, match=f"file.pth could not be written: the disk .*{kept}"),
        replacing(file) as temporary,
    ):
        write(temporary)
    assert [p.name for p in tmp_path.iterdir()] == (["file.pth"] if before else [])
    assert not before or file.read_text() == "before"


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_the_umask_or_of_the_file_before(tmp_path, write, umask):
    before = os.umask(umask)
    file = tmp_path / "new.pth"
    try:
        with replacing(file) as temporary:
            write(temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask
    file.chmod(0o640)
    with replacing(file) as temporary:
        write(temporary)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="a bug"), replacing(tmp_path / "a"):
        raise RuntimeError("a bug")


def test_mmengine_writes_whole_files_inside_and_as_before_outside(tmp_path, full_disk):
    put = LocalBackend.put
    (tmp_path / "a").write_text("before")
    with pytest.raises(UserError, match="disk"), whole_local_files():
        LocalBackend().put(b"x" * 100_000, tmp_path / "a")
    assert (tmp_path / "a").read_text() == "before" and LocalBackend.put is put


def test_a_checkpoint_on_a_full_disk_keeps_the_one_before(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    runner = toy_runner(tmp_path / "run", train_cfg__max_epochs=1)
    runner.train()
    size = (tmp_path / "run" / "epoch_1.pth").stat().st_size
    runner = toy_runner(tmp_path / "run", resume=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(UserError, match=r"epoch_2\.pth could not be written: the disk"):
            runner.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name for p in (tmp_path / "run").glob("*epoch*")} >= {"epoch_1.pth"}
    assert not list((tmp_path / "run").glob("*epoch_2*"))


def test_what_a_worker_says_is_said_without_its_traceback():
    said = (
        "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call "
        'last):\n  File "x.py", line 1\nsakd_dense.runtime.errors.UserError: a.png is broken\n'
    )
    assert message_of(UserError(said)) == "a.png is broken"
    assert message_of(UserError("plain")) == "plain"
