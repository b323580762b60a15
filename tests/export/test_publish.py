"""Slim files of students: what is in them, and who can read them."""

import json

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import MODELS
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.model import sew_resnet

from sakd_dense.export.publishing import publish, record_of, weights_hash
from sakd_dense.timesteps import SweepResult
from sakd_dense.transfer import read_state_dict, transfer
from tests.helpers.scenes import build, detection_config, retinanet, write_checkpoint
from tests.helpers.tooling import tool

main = tool("publish")


@pytest.fixture
def student(tmp_path):
    """A trained run's checkpoint: weights, and much that a user does not need."""
    model = build(retinanet())
    file = tmp_path / "epoch_1.pth"
    optimizer = dict(state={0: torch.rand(1000, 1000)})
    meta = dict(dataset_meta=dict(classes=("square", "disc")), cfg="secret = 'path'")
    torch.save(dict(state_dict=model.state_dict(), optimizer=optimizer, meta=meta), file)
    return model, file


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_come_back_and_nothing_else(student, tmp_path, suffix):
    model, file = student
    slim = publish(file, tmp_path / f"slim{suffix}")
    assert slim.stat().st_size < file.stat().st_size / 5
    state, meta = read_state_dict(slim)
    own = {k: v for k, v in model.state_dict().items() if "data_preprocessor" not in k}
    assert state.keys() == own.keys() and all(torch.equal(state[k], own[k]) for k in own)
    assert meta["classes"] == ["square", "disc"] and "cfg" not in meta
    assert meta["sha256"] == weights_hash(own) and slim.stem.endswith(meta["sha256"][:8])
    other = build(retinanet(), seed=3)
    transfer(other, slim)
    assert all(torch.equal(other.state_dict()[k], v) for k, v in own.items())


def test_the_record(student, tmp_path, capsys):
    _, file = student
    cfg = detection_config(tmp_path, retinanet(time_steps=3))
    cfg.custom_hooks = [dict(type="SAKDHook", teacher=dict(checkpoint="teacher.pth"))]
    cfg.dump(tmp_path / "cfg.py")
    SweepResult(
        rows={(1, None): {"coco/bbox_mAP": 0.25}, (3, None): {"coco/bbox_mAP": 0.5}}
    ).to_json(tmp_path / "sweep.json")
    args = ["--config", str(tmp_path / "cfg.py"), "--sweep", str(tmp_path / "sweep.json")]
    main([str(file), "--out", str(tmp_path / "slim.pth"), *args])
    (written,) = tmp_path.glob("slim-*.json")
    assert str(written) in capsys.readouterr().out
    record = json.loads(written.read_text())
    assert record["metrics"] == {"1": {"coco/bbox_mAP": 0.25}, "3": {"coco/bbox_mAP": 0.5}}
    assert record["backbone"]["type"] == "SEWResNet" and record["backbone"]["time_steps"] == 3
    assert record["teacher"] == "teacher.pth" and "RetinaNet" in record["config"]


@pytest.mark.parametrize(
    ("backbone", "recorded"),
    [
        (
            dict(type="SpikingCSPDarknet", deepen_factor=0.33, time_steps=2),
            dict(type="SpikingCSPDarknet", time_steps=2),
        ),
        (
            dict(type="SEWResNet", depth=18, connect="IAND"),
            dict(type="SEWResNet", depth=18, connect="IAND"),
        ),
    ],
)
def test_the_record_of_any_family(backbone, recorded):
    assert record_of(Config(dict(model=dict(backbone=backbone))), None, {})["backbone"] == recorded


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_and_spikingjelly_load_the_backbone(tmp_path, suffix):
    backbone = MODELS.build(dict(type="SEWResNet", depth=18))
    torch.manual_seed(1)
    state = {f"backbone.{k}": v for k, v in backbone.state_dict().items()}
    state |= {"head.fc.weight": torch.rand(1000, 512), "head.fc.bias": torch.rand(1000)}
    torch.save(dict(state_dict=state), tmp_path / "c.pth")
    slim = publish(tmp_path / "c.pth", tmp_path / f"slim{suffix}", form="torchvision")
    if suffix == ".pth":
        loaded = torch.load(slim, weights_only=True)
    else:
        from safetensors.torch import load_file

        loaded = load_file(slim)
    for network in (
        torchvision.models.resnet18(),
        sew_resnet.sew_resnet18(spiking_neuron=neuron.IFNode, cnf="ADD"),
    ):
        network.load_state_dict(loaded, strict=True)
        assert torch.equal(network.conv1.weight, state["backbone.conv1.weight"])


@pytest.mark.parametrize(
    "change,says",
    [
        (dict(out="slim.zip"), "slim.zip.*must end in"),
        (dict(form="onnx"), "form='onnx'"),
        (dict(form="torchvision", stem=True), "deep stem"),
        (dict(form="torchvision", bare=True), "no key starts with 'backbone.'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, change, says):
    cfg = retinanet(deep_stem=bool(change.pop("stem", False)))
    model = build(cfg).backbone if change.pop("bare", False) else build(cfg)
    file = write_checkpoint(model, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=says):
        publish(file, **{"out": "slim.pth", **change})


def test_a_config_without_a_spiking_backbone(student, tmp_path):
    cfg = detection_config(tmp_path, retinanet(type="ResNet"))
    with pytest.raises(ValueError, match="no spiking backbone"):
        publish(student[1], tmp_path / "slim.pth", config=cfg)


def test_a_truncated_safetensors_file_is_named(student, tmp_path):
    slim = publish(student[1], tmp_path / "slim.safetensors")
    slim.write_bytes(slim.read_bytes()[:1000])
    with pytest.raises(ValueError, match="truncated"):
        read_state_dict(slim)
