"""tools/transfer.py, called as a user would."""

import json
from pathlib import Path

import pytest
import torch

from sakd_dense.config.twins import ann_of
from sakd_dense.transfer import read_state_dict
from tests.helpers.scenes import build, retinanet, write_checkpoint, write_pure_config
from tests.helpers.small_run import teacher_of, write_config
from tests.helpers.tooling import tool

train, transfer, convert_config = tool("train"), tool("transfer"), tool("convert_config")


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write_config(tmp_path)


def test_transfer_writes_what_load_from_takes(config: str, tmp_path: Path, capsys) -> None:
    teacher = teacher_of(config, tmp_path)
    out, report = tmp_path / "new" / "snn.pth", tmp_path / "report.json"
    convert = ["--teacher-checkpoint", teacher, "--out", str(tmp_path / "snn.py")]
    convert_config([config, *convert])
    cfg = str(tmp_path / "snn.py")
    transfer([teacher, "--to", cfg, "--out", str(out), "--report", str(report)])
    weights, meta = read_state_dict(out)
    source, _ = read_state_dict(teacher)
    assert set(weights) == set(source)
    assert all(torch.equal(weights[k], source[k]) for k in source)
    assert meta["transfer"]["keys"] == len(source) == len(json.loads(report.read_text())["taken"])
    assert [p.name for p in out.parent.iterdir()] == ["snn.pth"]

    transfer([teacher, "--to", cfg, "--out", str(out), "--reestimate-bn", "2"])
    measured, meta = read_state_dict(out)
    assert meta["transfer"]["reestimated_bn_batches"] == 2
    changed = {k for k in source if not torch.equal(measured[k], source[k])}
    norms = ("running_mean", "running_var", "num_batches_tracked")
    assert changed and all(k.endswith(norms) for k in changed)

    train([cfg, "--work-dir", str(tmp_path / "run"), "--cfg-options", f"load_from={out}"])
    assert (tmp_path / "run" / "epoch_1.pth").is_file()


def test_calibrated_thresholds_are_trained_on(config: str, tmp_path: Path, capsys) -> None:
    """Level 1 of neurons that fire integers: thresholds fitted, and kept by the run behind it."""
    teacher, cfg = teacher_of(config, tmp_path), str(tmp_path / "snn.py")
    convert_config([config, "--teacher-checkpoint", teacher, "--out", cfg])
    node = "dict(type='NILIFNode', D=4)"
    Path(cfg).write_text(
        Path(cfg).read_text() + f"\nmodel['backbone'].update(time_steps=1, neuron={node})\n"
    )
    out = tmp_path / "snn.pth"
    both = ["--calibrate", "2", "--reestimate-bn", "2"]
    transfer([teacher, "--to", cfg, "--out", str(out), *both])
    weights, meta = read_state_dict(out)
    assert meta["transfer"]["calibrated_batches"] == 2
    fitted = {k: v for k, v in weights.items() if k.endswith("threshold")}
    assert fitted and not any((v == 2).all() for v in fitted.values())
    train([cfg, "--work-dir", str(tmp_path / "run"), "--cfg-options", f"load_from={out}"])
    after, _ = read_state_dict(tmp_path / "run" / "epoch_1.pth")
    assert all(torch.equal(after[k], v) for k, v in fitted.items())


def test_a_model_without_thresholds_is_not_calibrated(config: str, tmp_path: Path) -> None:
    teacher, out = teacher_of(config, tmp_path), tmp_path / "snn.pth"
    with pytest.raises(SystemExit, match="no neurons with a threshold to fit"):
        transfer([teacher, "--to", config, "--out", str(out), "--calibrate", "1"])
    assert not out.exists()


def test_transfer_of_a_backbone_initialises_the_rest(config: str, tmp_path: Path) -> None:
    source, _ = read_state_dict(teacher_of(config, tmp_path))
    backbone = {k: v for k, v in source.items() if k.startswith("backbone.")}
    torch.save(dict(model=backbone), tmp_path / "b.pth")
    out = tmp_path / "snn.pth"
    transfer([str(tmp_path / "b.pth"), "--to", config, "--out", str(out)])
    weights, _ = read_state_dict(out)
    # The focal loss's prior: a head that was never initialised would start at about 0.
    assert torch.allclose(weights["bbox_head.retina_cls.bias"], torch.tensor(-4.595), atol=1e-3)


def test_a_transfer_that_fails_writes_the_report_and_no_weights(config, tmp_path) -> None:
    source, _ = read_state_dict(teacher_of(config, tmp_path))
    torch.save(dict(source, extra=torch.ones(1)), tmp_path / "odd.pth")
    out, report = tmp_path / "snn.pth", tmp_path / "report.json"
    odd = [str(tmp_path / "odd.pth"), "--to", config, "--out", str(out)]
    with pytest.raises(SystemExit, match="no place in the model: extra"):
        transfer([*odd, "--report", str(report)])
    assert not out.exists()
    assert json.loads(report.read_text())["left"] == {"extra": None}
    transfer([*odd, "--left-ok", "extra"])
    assert out.exists()


def test_a_pure_python_config_and_the_weights_of_one_model(tmp_path) -> None:
    config = write_pure_config(tmp_path)
    models = {name: build(ann_of(retinanet()), seed=i) for i, name in enumerate(("left", "right"))}
    both = torch.nn.ModuleDict(models)
    file = write_checkpoint(both, tmp_path / "two.pth")
    out = str(tmp_path / "snn.pth")
    with pytest.raises(SystemExit, match=r"several models \(left, right\)"):
        transfer([file, "--to", config, "--out", out])
    transfer([file, "--to", config, "--out", out, "--weights", "right"])
    weights, meta = read_state_dict(out)
    source = models["right"].state_dict()
    assert all(torch.equal(weights[k], source[k]) for k in source)
    assert meta["transfer"]["weights"] == "right"
