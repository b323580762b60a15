"""Every shipped config, built whole: model, optimizer, schedules, hooks, teacher."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, PARAM_SCHEDULERS, VISUALIZERS, init_default_scope
from mmengine.runner import Runner

from sakd_dense.backbones import SpikingBackbone
from sakd_dense.config.policy import check_norm_policy
from sakd_dense.config.teacher import teacher_config
from sakd_dense.distill.responses import find_response
from sakd_dense.neurons.layer import SpikingNeuron

FILES = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
STUDENTS = [f for f in FILES if "sakd" in f.stem]
SEGMENTORS = ("fcn", "pspnet", "deeplabv3", "deeplabv3plus", "upernet")


def by_model(files: list[Path]) -> list[Any]:
    """The first config of each model; others, of the same model on other data, are nightly."""
    seen, cases = set(), []
    for file in files:
        model = repr(sorted(Config.fromfile(file).model.to_dict().items(), key=str))
        model = re.sub(r"'num_classes': \d+", "", model)
        marks = [pytest.mark.nightly] if model in seen else []
        seen.add(model)
        cases.append(pytest.param(file, marks=marks, id=file.stem))
    return cases


@pytest.fixture(autouse=True)
def no_random_weights(monkeypatch):
    """Names and shapes are tested here: drawing the weights of whole models takes minutes."""
    for name in ("kaiming_uniform_", "uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)


def load(file: Path) -> Config:
    cfg = Config.fromfile(file)
    init_default_scope(cfg.default_scope)
    return cfg


def test_there_are_configs():
    """Those that the README and the issues' readers are told of."""
    named = {f.stem for f in STUDENTS}
    dense = [
        f"{m}_sew{d}_sakd_{s}" for m in SEGMENTORS for d in (50, 101) for s in ("ade20k", "voc12")
    ]
    coco = [f"retinanet_sew{d}_sakd_coco" for d in (18, 34, 50, 101, 152)]
    coco += [f"{m}_sew50_sakd_coco" for m in ("faster-rcnn", "mask-rcnn", "cascade-rcnn")]
    imagenet = [f"sew{d}_sakd_imagenet" for d in (18, 34, 50, 101, 152)]
    imagenet += [f"spiking-resnet{d}_sakd_imagenet" for d in (18, 34, 50)]
    counts = [f"{m}_spiking50_sakd_coco_1x4" for m in ("retinanet", "faster-rcnn")]
    counts += [f"{m}_spiking50_sakd_ade20k_1x4" for m in ("fcn", "upernet")]
    counts += [f"{m}_spiking50_sakd_voc12_1x4" for m in ("fcn", "deeplabv3plus")]
    counts += [f"spiking-resnet{d}_sakd_imagenet_1x4" for d in (34, 50)]
    events = [f"retinanet_sew{d}_sakd_{s}" for d in (18, 50) for s in ("gen1", "pedro")]
    events += [f"{m}_sew18_sakd_digit-events" for m in ("retinanet", "fcn")]
    official = [f"sew{d}_sakd-official_imagenet" for d in (18, 34, 50)]
    official += [f"spiking-resnet18_sakd-official_cifar{n}" for n in (10, 100)]
    assert {*dense, *coco, *imagenet, *counts, *events, *official} <= named
    assert set(FILES) - set(STUDENTS)


@pytest.mark.parametrize("file", by_model(FILES))
def test_built_whole(file):
    cfg = load(file)
    assert "sakd_dense" in cfg.custom_imports.imports
    model = MODELS.build(cfg.model)
    assert isinstance(model.backbone, SpikingBackbone) == (file in STUDENTS)
    # Neurons of necks and heads that spike, too, fire as many spikes as the name says.
    slots = {m.max_spikes for m in model.modules() if isinstance(m, SpikingNeuron)}
    if file in STUDENTS:
        assert slots == ({4} if file.stem.endswith("_1x4") else {1})
        assert not file.stem.endswith("_1x4") or model.backbone.time_steps == 1
    runner = Runner.__new__(Runner)  # the two builders below need nothing of a runner's data
    runner.model = model
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    groups = [p for g in wrapper.param_groups for p in g["params"]]
    assert len(groups) == len([p for p in model.parameters() if p.requires_grad])
    schedules = cfg.param_scheduler
    for schedule in schedules if isinstance(schedules, list) else [schedules]:
        schedule = dict(schedule)
        if schedule.pop("convert_to_iter_based", False):
            build = PARAM_SCHEDULERS.get(schedule.pop("type"))
            build.build_iter_from_epoch(optimizer=wrapper, epoch_length=10, **schedule)
        else:
            PARAM_SCHEDULERS.build(schedule, default_args=dict(optimizer=wrapper))
    VISUALIZERS.build({"name": file.stem, **cfg.visualizer})  # a hook asks for it
    for hook in [*cfg.default_hooks.values(), *cfg.get("custom_hooks", [])]:
        HOOKS.build(dict(hook))


@pytest.mark.parametrize("file", by_model(STUDENTS))
def test_the_teacher_is_the_students_ann_twin(file):
    cfg = load(file)
    hook = next(h for h in cfg.custom_hooks if h["type"] == "SAKDHook")
    student = MODELS.build(cfg.model)
    teacher = MODELS.build(teacher_config(cfg.model, hook["teacher"].get("config")))
    assert not isinstance(teacher.backbone, SpikingBackbone)
    # Thresholds are the student's alone.
    shapes = [
        {k: v.shape for k, v in m.state_dict().items() if not k.endswith(".node.threshold")}
        for m in (student, teacher)
    ]
    assert shapes[0] == shapes[1]
    assert find_response(student) is not None
    assert check_norm_policy(cfg) == []


def test_a_shipped_config_is_a_base_by_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("_base_ = 'sakd_dense::retinanet_sew50_sakd_coco.py'")
    assert Config.fromfile(path).model.backbone.type == "SEWResNet"
