"""tools/train.py and convert_config.py, called as a user would."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from sakd_dense.transfer import read_state_dict
from tests.helpers.small_run import draw, teacher_of, write_config
from tests.helpers.tooling import TOOLS, tool

BATCH = "train_dataloader.batch_size={}"

train, transfer, convert_config = tool("train"), tool("transfer"), tool("convert_config")


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write_config(tmp_path)


@pytest.fixture
def started(monkeypatch) -> list[Config]:
    """The configs of the runs that would have started."""
    configs = []

    class Stub:
        hooks: tuple = ()

        def train(self) -> None:
            pass

        def register_hook(self, hook) -> None:
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
    checkpoint = str(tmp_path / "run.pth")
    state = torch.load(teacher_of(config, tmp_path), weights_only=True)
    torch.save({**state, "meta": dict(epoch=1, iter=2), "message_hub": {}}, checkpoint)
    arguments = ["--amp", "--auto-scale-lr", "--launcher", "none", "--work-dir", "out", "--resume"]
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
        (["--teacher-checkpoint", "x.pth"], "need --sakd"),
        (["--time-steps", "2"], "need --sakd"),
        (["--counts", "2"], "need --sakd"),
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
        (["--cfg-options", "load_from=snn.safetensors"], "MMEngine loads only .pth"),
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


@pytest.mark.parametrize("options", [["compile=True"], ["compile.backend=eager"]])
def test_compiling_a_whole_spiking_model_is_refused(config, tmp_path, started, options) -> None:
    checkpoint = teacher_of(config, tmp_path)
    sakd = ["--sakd", "--teacher-checkpoint", checkpoint]
    with pytest.raises(SystemExit, match="error: compile=.*Set compile=False"):
        train([config, *sakd, "--cfg-options", *options])
    train([config, *sakd, "--cfg-options", "compile=False"])
    assert len(started) == 1


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


def test_frozen_statistics_are_warned_of(config, tmp_path, started, capfd) -> None:
    init = dict(type="SAKDTransfer", checkpoint=teacher_of(config, tmp_path))
    backbone = dict(type="SEWResNet", norm_eval=True, init_cfg=[init])
    (tmp_path / "snn.py").write_text(f"_base_ = 'ann.py'\nmodel = dict(backbone={backbone})\n")
    train([str(tmp_path / "snn.py")])
    assert "do not fit spikes" in capfd.readouterr().out


PURE = """
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.models import (
    FPN, DetDataPreprocessor, FocalLoss, L1Loss, ResNet, RetinaHead, RetinaNet)
from mmdet.models.task_modules import (
    AnchorGenerator, DeltaXYWHBBoxCoder, MaxIoUAssigner, PseudoSampler)
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from torch.optim import SGD

default_scope = None
model = dict(
    type=RetinaNet,
    data_preprocessor=dict(type=DetDataPreprocessor, pad_size_divisor=32),
    backbone=dict(type=ResNet, depth=18, base_channels=4),
    neck=dict(type=FPN, in_channels=[4, 8, 16, 32], out_channels=8, num_outs=4),
    bbox_head=dict(
        type=RetinaHead, num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1,
        anchor_generator=dict(
            type=AnchorGenerator, octave_base_scale=4, scales_per_octave=1, ratios=[1.0],
            strides=[4, 8, 16, 32]),
        bbox_coder=dict(type=DeltaXYWHBBoxCoder),
        loss_cls=dict(type=FocalLoss, use_sigmoid=True), loss_bbox=dict(type=L1Loss)),
    train_cfg=dict(
        assigner=dict(
            type=MaxIoUAssigner, pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0,
            ignore_iof_thr=-1),
        sampler=dict(type=PseudoSampler), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(
        nms_pre=10, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=10),
)
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=CocoDataset, data_root=ROOT, ann_file="ann.json", data_prefix=dict(img=""),
        metainfo=dict(classes=("a", "b")),
        pipeline=[
            dict(type=LoadImageFromFile), dict(type=LoadAnnotations, with_bbox=True),
            dict(type=PackDetInputs)]),
)
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=1e-3))
log_level = "WARNING"
"""


def test_a_pure_python_config_is_trained_and_taught(tmp_path: Path) -> None:
    draw(tmp_path)
    (tmp_path / "pure.py").write_text(PURE.replace("ROOT", repr(str(tmp_path))))
    config, ann, snn = (str(tmp_path / name) for name in ("pure.py", "ann", "snn"))
    train([config, "--work-dir", ann])
    teacher = str(tmp_path / "ann" / "epoch_1.pth")
    before = read_state_dict(teacher)[0]
    sakd = ["--sakd", "--teacher-checkpoint", teacher, "--time-steps", "2", "--amp"]
    train([config, *sakd, "--work-dir", snn])
    weights = read_state_dict(tmp_path / "snn" / "epoch_1.pth")[0]
    assert set(weights) == set(before)
    assert not torch.equal(weights["backbone.conv1.weight"], before["backbone.conv1.weight"])
    assert all(torch.isfinite(w).all() for w in weights.values())


@pytest.mark.slow
def test_two_processes_on_a_cpu_train_what_one_does(config: str, tmp_path: Path) -> None:
    teacher = teacher_of(config, tmp_path)
    # BatchNorm's batch would be that of a process.
    sakd = ["--sakd", "--teacher-checkpoint", teacher, "--time-steps", "2"]
    options = ["--cfg-options", "randomness.seed=0", "model.backbone.norm_eval=True"]
    options += ["model.backbone.norm_cfg.type=SyncBN"]  # which DDP refuses on CPUs
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
    assert "SyncBN does not run on CPUs" in done.stdout + done.stderr
    one, two = (read_state_dict(tmp_path / n / "epoch_1.pth")[0] for n in ("one", "two"))
    start = read_state_dict(teacher)[0]
    assert not torch.equal(one["backbone.conv1.weight"], start["backbone.conv1.weight"])
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-6, msg=name)


def test_a_launcher_that_did_not_start_us_is_said(config: str, monkeypatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr("sakd_dense.runtime.processes.get_device", lambda: "cpu")
    with pytest.raises(SystemExit, match="RANK is not set; start the run with tools/dist_train.sh"):
        train([config, "--launcher", "pytorch"])
