"""tools/train.py, transfer.py and convert_config.py, called as a user would."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from sakd_dense.transfer import read_state_dict
from tests.tooling import TOOLS, tool

BATCH = "train_dataloader.batch_size={}"

CONFIG = """
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
model = dict(
    backbone=dict(base_channels=4, init_cfg=None),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8),
    bbox_head=dict(
        num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1,
        anchor_generator=dict(scales_per_octave=1, ratios=[1.0])),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs'),
]
dataset = dict(
    type='CocoDataset', ann_file='ann.json', data_root=ROOT, data_prefix=dict(img=''),
    metainfo=dict(classes=('a', 'b')), pipeline=pipeline, _delete_=True)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dataset)
val_dataloader = None
val_cfg = None
val_evaluator = None
train_cfg = dict(max_epochs=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
log_level = 'WARNING'
"""


train, transfer, convert_config = tool("train"), tool("transfer"), tool("convert_config")


def draw(folder: Path) -> None:
    """Four 64x64 images with a box each."""
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for i in range(4):
        mmcv.imwrite(rng.integers(0, 255, (64, 64, 3), np.uint8), str(folder / f"{i}.png"))
        images.append(dict(id=i, file_name=f"{i}.png", height=64, width=64))
        boxes.append(
            dict(id=i, image_id=i, category_id=i % 2, bbox=[8, 8, 32, 32], area=1024, iscrowd=0)
        )
    categories = [dict(id=0, name="a"), dict(id=1, name="b")]
    coco = dict(images=images, annotations=boxes, categories=categories)
    (folder / "ann.json").write_text(json.dumps(coco))


@pytest.fixture
def config(tmp_path: Path) -> str:
    draw(tmp_path)
    (tmp_path / "ann.py").write_text(CONFIG.replace("ROOT", repr(str(tmp_path))))
    return str(tmp_path / "ann.py")


def teacher_of(config: str, folder: Path, **changes) -> str:
    cfg = Config.fromfile(config)
    cfg.model.merge_from_dict(changes) if changes else None
    init_default_scope("mmdet")
    model = MODELS.build(cfg.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), folder / "teacher.pth")
    return str(folder / "teacher.pth")


@pytest.fixture
def started(monkeypatch) -> list[Config]:
    """The configs of the runs that would have started."""
    configs = []

    class Stub:
        def train(self) -> None:
            pass

    def from_cfg(cfg):
        configs.append(cfg)
        return Stub()

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)
    return configs


@pytest.mark.parametrize("main", [train, transfer, convert_config])
def test_help_shows_an_example(main, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "python tools/" in capsys.readouterr().out


def test_an_ann_is_trained_and_taught_on_and_resumed(config: str, tmp_path: Path) -> None:
    work = str(tmp_path / "ann")
    train([config, "--work-dir", work])
    teacher = str(tmp_path / "ann" / "epoch_1.pth")
    before = read_state_dict(teacher)[0]

    work = str(tmp_path / "snn")
    sakd = ["--sakd", "--teacher-checkpoint", teacher, "--time-steps", "2", "--amp"]
    train([config, *sakd, "--work-dir", work])
    train(
        [config, *sakd, "--work-dir", work, "--resume", "--cfg-options", "train_cfg.max_epochs=2"]
    )
    weights, meta = read_state_dict(tmp_path / "snn" / "epoch_2.pth")
    assert meta["epoch"] == 2
    assert set(weights) == set(before)
    assert not torch.equal(weights["backbone.conv1.weight"], before["backbone.conv1.weight"])
    assert all(torch.isfinite(w).all() for w in weights.values())


def test_the_arguments_reach_the_run(config: str, tmp_path: Path, started: list[Config]) -> None:
    checkpoint = teacher_of(config, tmp_path)
    arguments = "--amp --auto-scale-lr --launcher none --work-dir out --resume".split()
    train([config, *arguments, checkpoint, "--cfg-options", "train_cfg.max_epochs=7"])
    (cfg,) = started
    assert cfg.work_dir == "out"
    assert (cfg.resume, cfg.load_from) == (True, checkpoint)
    assert cfg.train_cfg.max_epochs == 7
    assert cfg.auto_scale_lr.enable is True
    assert "Amp" in cfg.optim_wrapper.type


def test_defaults_of_a_run(config: str, started: list[Config]) -> None:
    train([config])
    (cfg,) = started
    assert cfg.work_dir == "work_dirs/ann"
    assert (cfg.resume, cfg.load_from) == (False, None)
    assert cfg.model.backbone.type == "ResNet"


def test_resume_without_a_checkpoint_starts_afresh(config, tmp_path, started) -> None:
    train([config, "--resume", "--work-dir", str(tmp_path / "empty")])
    assert started[0].resume is True


@pytest.mark.parametrize(
    ("name", "spiking"),
    [
        ("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", "SEWResNet"),
        ("mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py", "SEWResNetV1c"),
        ("mmpretrain::resnet/resnet50_8xb32_in1k.py", "SEWResNet"),
    ],
)
def test_an_upstream_config_by_name(name, spiking, config, tmp_path, started) -> None:
    teacher = teacher_of(config, tmp_path)
    train([name, "--sakd", "--teacher-checkpoint", teacher, "--time-steps", "3", "--no-transfer"])
    (cfg,) = started
    assert (cfg.model.backbone.type, cfg.model.backbone.time_steps) == (spiking, 3)
    hook = dict(type="SAKDHook", teacher=dict(checkpoint=teacher), transfer=False)
    assert cfg.custom_hooks[-1] == hook
    assert cfg.work_dir == f"work_dirs/{Path(name).stem}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sakd"], "--sakd needs --teacher-checkpoint"),
        (["--teacher-checkpoint", "x.pth"], "go with --sakd"),
        (["--time-steps", "2"], "go with --sakd"),
    ],
)
def test_arguments_that_do_not_fit_together(config, arguments, message, capsys, started) -> None:
    with pytest.raises(SystemExit):
        train([config, *arguments])
    assert message in capsys.readouterr().err
    assert not started


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sakd", "--teacher-checkpoint", "gone.pth"], "SAKDHook's teacher: checkpoint gone.pth"),
        (
            [
                "--cfg-options",
                "model.init_cfg.type=SAKDTransfer",
                "model.init_cfg.checkpoint=gone.pth",
            ],
            "gone.pth does not exist",
        ),
        (["--resume", "gone.pth"], "gone.pth does not exist"),
        (["--cfg-options", "load_from=gone.pth"], "gone.pth does not exist"),
        (["--cfg-options", "load_from=snn.safetensors"], "MMEngine loads .pth alone"),
        (["--auto-scale-lr", "--cfg-options", "auto_scale_lr=None"], "base_batch_size"),
        (["--amp", "--cfg-options", "optim_wrapper.type=Mine"], "'Mine' has no mixed-precision"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_built(config, arguments, message, started):
    with pytest.raises(SystemExit, match=f"error: .*{message}"):
        train([config, *arguments])
    assert not started


@pytest.mark.parametrize("name", ["nowhere.py", "mmdet::retinanet/none.py", "nopackage::a/b.py"])
def test_a_config_that_is_not_there_is_named(name: str, started) -> None:
    with pytest.raises(SystemExit, match="error: .*(nowhere|none|nopackage)"):
        train([name])


def test_a_checkpoint_that_would_run_code_is_not_loaded(config, tmp_path, started) -> None:
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'proof'}",)

    torch.save(dict(state_dict={"a": torch.ones(1)}, meta=Evil()), tmp_path / "evil.pth")
    for arguments in (
        ["--resume", str(tmp_path / "evil.pth")],
        ["--cfg-options", f"load_from={tmp_path / 'evil.pth'}"],
        ["--sakd", "--teacher-checkpoint", str(tmp_path / "evil.pth")],
        ["--cfg-options", f"model.pretrained={tmp_path / 'evil.pth'}"],
    ):
        with pytest.raises(SystemExit, match="holds more than weights"):
            train([config, *arguments])
    assert not (tmp_path / "proof").exists() and not started


def test_frozen_statistics_are_warned_of(config, tmp_path, started) -> None:
    init = dict(type="SAKDTransfer", checkpoint=teacher_of(config, tmp_path))
    backbone = dict(type="SEWResNet", norm_eval=True, init_cfg=[init])
    (tmp_path / "snn.py").write_text(f"_base_ = 'ann.py'\nmodel = dict(backbone={backbone})\n")
    with pytest.warns(UserWarning, match="do not fit spikes"):
        train([str(tmp_path / "snn.py")])


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


@pytest.mark.slow
def test_two_processes_on_a_cpu_train_what_one_does(config: str, tmp_path: Path) -> None:
    teacher = teacher_of(config, tmp_path)
    # BatchNorm's batch would be that of a process.
    sakd = ["--sakd", "--teacher-checkpoint", teacher, "--time-steps", "2"]
    options = ["--cfg-options", "randomness.seed=0", "model.backbone.norm_eval=True"]
    train([config, *sakd, "--work-dir", str(tmp_path / "one"), *options, BATCH.format(4)])
    given = [config, "2", *sakd, "--work-dir", str(tmp_path / "two"), *options, BATCH.format(2)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    done = subprocess.run(
        [str(TOOLS / "dist_train.sh"), *given],
        env={**os.environ, "PORT": port, "PYTHON": sys.executable, "VIRTUAL_ENV": "used"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    one, two = (read_state_dict(tmp_path / n / "epoch_1.pth")[0] for n in ("one", "two"))
    start = read_state_dict(teacher)[0]
    assert not torch.equal(one["backbone.conv1.weight"], start["backbone.conv1.weight"])
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-6, msg=name)


def test_a_launcher_that_did_not_start_us_is_said(config: str, monkeypatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr("sakd_dense.cli.get_device", lambda: "cpu")
    with pytest.raises(SystemExit, match=r"RANK is not set; start it by tools/dist_train.sh"):
        train([config, "--launcher", "pytorch"])
