"""Every tool reads a checkpoint file once."""

import io
from collections import Counter
from pathlib import Path

import pytest
import torch

from sakd_dense.config.twins import ann_of
from sakd_dense.transfer import read, verify_checkpoint
from tests.helpers.runs import forget_runs
from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_scenes,
)
from tests.helpers.tooling import tool


@pytest.fixture
def reads(monkeypatch) -> Counter:
    """How often each file was read, by name: by the package, or by MMEngine through PyTorch."""
    counts: Counter = Counter()
    load, read_bytes = torch.load, Path.read_bytes

    def loaded(file, *args, **kwargs):
        if not isinstance(file, io.BytesIO):
            counts[Path(getattr(file, "name", file)).name] += 1
        return load(file, *args, **kwargs)

    def counted(file):
        if file.suffix == ".pth":
            counts[file.name] += 1
        return read_bytes(file)

    monkeypatch.setattr(torch, "load", loaded)
    monkeypatch.setattr(Path, "read_bytes", counted)
    return counts


@pytest.fixture
def files(tmp_path):
    write_scenes(tmp_path)
    model = retinanet(time_steps=2)
    ann = write_checkpoint(build(ann_of(model)), tmp_path / "ann.pth")
    hook = dict(type="SAKDHook", teacher=dict(checkpoint=ann))
    cfg = detection_config(tmp_path, model, custom_hooks=[hook])
    cfg.train_cfg.max_epochs = 1
    cfg.dump(tmp_path / "config.py")
    return str(tmp_path / "config.py"), write_checkpoint(build(model), tmp_path / "snn.pth"), ann


@pytest.mark.parametrize(
    "name,options,wanted",
    [
        ("train", [], {"ann.pth": 1}),
        ("test", ["--timed-batches", "1", "--time-steps", "1", "2"], {"snn.pth": 1}),
        ("export", ["--size", "32", "32"], {"snn.pth": 1}),
        ("energy", ["--samples", "1"], {"snn.pth": 1, "ann.pth": 1}),
        ("transfer", ["--out", "{}/out.pth"], {"ann.pth": 1}),
    ],
)
def test_a_checkpoint_is_read_once(files, reads, tmp_path, name, options, wanted) -> None:
    config, snn, ann = files
    options = [option.format(tmp_path) for option in options]
    work = ["--work-dir", str(tmp_path / "w")]
    arguments = {
        "train": [config, *work],
        "transfer": [ann, "--to", config],
    }.get(name, [config, snn, *work])
    tool(name)([*arguments, *options])
    assert reads == wanted
    assert not read._verified  # nothing stays in memory


@pytest.mark.parametrize("named", [False, True])
def test_a_resumed_run_reads_its_checkpoint_once(files, reads, tmp_path, named) -> None:
    config, _, _ = files
    run = [config, "--work-dir", str(tmp_path / "w")]
    tool("train")(run)
    forget_runs()
    reads.clear()
    resume = ["--resume", str(tmp_path / "w" / "epoch_1.pth")] if named else ["--resume"]
    tool("train")([*run, *resume, "--cfg-options", "train_cfg.max_epochs=2"])
    assert (tmp_path / "w" / "epoch_2.pth").is_file()
    assert reads == {"ann.pth": 1, "epoch_1.pth": 1}
    assert not read._verified


def test_a_file_that_changed_since_is_read_again(files, reads) -> None:
    _, snn, _ = files
    verify_checkpoint(snn, keep=True)
    torch.save({"backbone.conv1.weight": torch.full((3,), 4.0)}, snn)
    state, _ = read.read_state_dict(snn)
    assert torch.equal(state["backbone.conv1.weight"], torch.full((3,), 4.0))
    assert reads == {"snn.pth": 2}


def test_what_is_only_verified_is_not_kept(files, reads) -> None:
    _, snn, _ = files
    verify_checkpoint(snn)
    assert not read._verified
    verify_checkpoint(snn, keep=True)
    for _ in range(2):  # kept for one reader
        read.read_state_dict(snn)
    assert reads == {"snn.pth": 3}
