"""Reading checkpoints: what is in them, and what must not happen."""

import os
from collections import OrderedDict
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from sakd_dense.transfer import read_state_dict, verify_checkpoint

WEIGHTS = {"conv1.weight": torch.ones(2), "bn1.running_mean": torch.zeros(2)}


class Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def prefixed(prefix: str) -> dict:
    return {prefix + k: v for k, v in WEIGHTS.items()}


@pytest.mark.parametrize(
    "checkpoint",
    [
        WEIGHTS,
        dict(state_dict=WEIGHTS),
        dict(model=WEIGHTS),
        dict(net=WEIGHTS, epoch=3),
        dict(state_dict=prefixed("module.")),
        dict(state_dict=prefixed("module._orig_mod.")),
        dict(model=prefixed("old."), model_ema=dict(prefixed("module."), n_averaged=torch.ones(1))),
        dict(state_dict=prefixed("old."), state_dict_ema=WEIGHTS),
        dict(state_dict=OrderedDict(WEIGHTS), ema_state_dict=prefixed("module.")),
    ],
)
def test_containers_and_wrappers_are_opened(tmp_path: Path, checkpoint: dict) -> None:
    torch.save(checkpoint, tmp_path / "c.pth")
    weights, meta = read_state_dict(tmp_path / "c.pth")
    assert set(weights) == set(WEIGHTS)
    assert torch.equal(weights["conv1.weight"], torch.ones(2))
    assert meta == {}


def test_old_file_format_is_read(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    assert set(read_state_dict(tmp_path / "c.pth")[0]) == set(WEIGHTS)


def test_what_mmengine_saves_beside_the_weights_is_let_in(tmp_path: Path) -> None:
    scalars = HistoryBuffer([1.0, 2.0], [1, 1])
    checkpoint = dict(
        state_dict=WEIGHTS,
        meta=dict(epoch=3, best=np.float64(0.5), dataset_meta=dict(palette=np.zeros((2, 3), int))),
        message_hub=dict(log_scalars=OrderedDict(loss=scalars)),
    )
    torch.save(checkpoint, tmp_path / "c.pth")
    _, meta = read_state_dict(tmp_path / "c.pth")
    assert meta["epoch"] == 3
    assert meta["best"] == 0.5
    assert meta["dataset_meta"]["palette"].shape == (2, 3)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["meta", "state_dict"])
def test_a_pickle_runs_no_code(tmp_path: Path, place: str, zipped: bool) -> None:
    proof = tmp_path / "proof"
    checkpoint = {"state_dict": dict(WEIGHTS), "meta": {}}
    checkpoint[place]["x"] = Evil(f"touch {proof}")
    file = tmp_path / "c.pth"
    torch.save(checkpoint, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="holds more than weights.*weights_only=False"):
        verify_checkpoint(file)
    assert not proof.exists()


def test_getattr_in_a_pickle_reaches_nothing(tmp_path: Path) -> None:
    class Reach:
        def __reduce__(self):
            return getattr, (HistoryBuffer([1], [1]), "__class__")

    torch.save(dict(state_dict=WEIGHTS, meta=dict(x=Reach())), tmp_path / "c.pth")
    assert read_state_dict(tmp_path / "c.pth")[1] == {"x": None}


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.98])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_named(tmp_path: Path, keep: float, zipped: bool) -> None:
    file = tmp_path / "c.pth"
    big = {f"w{i}": torch.rand(50) for i in range(20)}
    torch.save(big, file, _use_new_zipfile_serialization=zipped)
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(ValueError, match="c.pth.*truncated"):
        read_state_dict(file)


def test_a_text_file_is_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "c.pth"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="not a PyTorch checkpoint"):
        read_state_dict(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no weights.*nothing"),
        (dict(state_dict={}), "holds no weights.*state_dict"),
        (dict(epoch=3, lr=0.1), "holds no weights.*epoch, lr"),
        ([torch.ones(1)], "holds a list"),
        (torch.ones(1), "holds a Tensor"),
    ],
)
def test_a_file_without_weights_is_refused(tmp_path: Path, content, message: str) -> None:
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=message):
        read_state_dict(tmp_path / "c.pth")


def test_wrong_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.pth does not exist"):
        read_state_dict(tmp_path / "nowhere.pth")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_state_dict(tmp_path)
    with pytest.raises(ValueError, match="checkpoint: got a dict; use a path"):
        read_state_dict({"w": torch.ones(1)})
    with pytest.raises(ValueError, match="unknown scheme ftp://"):
        read_state_dict("ftp://host/c.pth")
    with pytest.raises(FileNotFoundError, match="torchvision has no model 'resnet51'.*resnet50"):
        read_state_dict("torchvision://resnet51")


def test_a_zoo_name_uses_what_was_downloaded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(WEIGHTS, tmp_path / "checkpoints" / "resnet50-0676ba61.pth")
    assert set(read_state_dict("torchvision://resnet50")[0]) == set(WEIGHTS)


def test_without_a_network_the_way_out_is_named(tmp_path: Path, monkeypatch) -> None:
    def offline(*args, **kwargs):
        raise URLError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(FileNotFoundError, match="Put the file at .*resnet18"):
        read_state_dict("torchvision://resnet18")
