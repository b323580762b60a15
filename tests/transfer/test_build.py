"""The model of a whole config, built and loaded to be tested."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

from sakd_dense.backbones import SpikingBackbone
from sakd_dense.config.scopes import load_config
from sakd_dense.config.twins import ann_of
from sakd_dense.loading import build_for_test
from tests.helpers.scenes import (
    build,
    detection_config,
    retinanet,
    write_checkpoint,
    write_pure_config,
)
from tests.helpers.tasks import TASKS


def test_a_student_and_its_teacher(tmp_path) -> None:
    cfg = detection_config(tmp_path, retinanet())
    source = build(retinanet(), seed=3)
    model = build_for_test(cfg, write_checkpoint(source, tmp_path / "snn.pth"))
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in model.state_dict().items())
    assert not model.training and model.cfg is cfg
    assert model.dataset_meta["classes"] == ("square", "disc")  # of the test set
    source = build(ann_of(retinanet()), seed=4)
    meta = dict(dataset_meta=dict(classes=("a", "b")))
    file = write_checkpoint(source, tmp_path / "ann.pth", **meta)
    ann = build_for_test(cfg, file, ann=True)
    assert not isinstance(ann.backbone, SpikingBackbone)
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in ann.state_dict().items())
    assert ann.dataset_meta["classes"] == ("a", "b")


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path) -> None:
    file = write_checkpoint(build(retinanet(depth=34)), tmp_path / "snn.pth")
    with pytest.raises(ValueError, match="snn.pth does not fit the RetinaNet"):
        build_for_test(detection_config(tmp_path, retinanet()), file)


def test_without_a_checkpoint_it_is_initialised(tmp_path) -> None:
    model = build_for_test(detection_config(tmp_path, retinanet()), None)
    assert model.bbox_head.retina_cls.weight.std() > 0.2  # 0.3 by its init_cfg


def test_the_preprocessor_beside_the_model_is_used(tmp_path) -> None:
    model = TASKS["classifier"].config()
    cfg = Config(dict(default_scope="mmpretrain", model=model))
    beside = dict(model.pop("data_preprocessor", {}), mean=[7.0] * 3, std=[2.0] * 3)
    cfg.data_preprocessor = beside
    for ann in (False, True):
        built = build_for_test(cfg, None, ann=ann)
        assert built.data_preprocessor.mean.flatten().tolist() == [7.0] * 3


def test_the_teacher_of_a_semi_supervised_model_is_that_of_its_detector(tmp_path) -> None:
    wrapped = dict(type="SoftTeacher", detector=retinanet(), data_preprocessor=dict(type="X"))
    ann = build_for_test(Config(dict(default_scope="mmdet", model=wrapped)), None, ann=True)
    assert type(ann).__name__ == "RetinaNet" and type(ann.backbone).__name__ == "ResNet"


def test_the_teachers_weights_are_those_that_teach(tmp_path) -> None:
    """A SoftTeacher checkpoint as teacher: energy and reports load what SAKDHook loads."""
    models = {name: build(ann_of(retinanet()), seed=i) for i, name in enumerate("st")}
    halves = dict(student=models["s"], teacher=models["t"])
    state = {f"{n}.{k}": v for n, m in halves.items() for k, v in m.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / "soft.pth")
    cfg = detection_config(tmp_path, retinanet())
    for weights, name in (("auto", "teacher"), ("student", "student")):
        teacher = dict(checkpoint=str(tmp_path / "soft.pth"), weights=weights)
        cfg.custom_hooks = [dict(type="SAKDHook", teacher=teacher)]
        ann = build_for_test(cfg, tmp_path / "soft.pth", ann=True)
        assert torch.equal(ann.backbone.conv1.weight, halves[name].backbone.conv1.weight)


@pytest.mark.parametrize("before", ["mmdet", "mmpretrain"])
def test_a_pure_python_config(tmp_path, before) -> None:
    """Classes in the place of names, and no default scope, whichever scope was current."""
    init_default_scope(before)
    cfg = load_config(write_pure_config(tmp_path))
    assert cfg.default_scope is None
    model = build_for_test(cfg, None)
    assert isinstance(model.backbone, SpikingBackbone)
    assert DefaultScope.get_current_instance().scope_name == "mmdet"
    file = write_checkpoint(model, tmp_path / "snn.pth")
    build_for_test(cfg, file)
    ann = build_for_test(cfg, file, ann=True)  # the keys are the same
    assert type(ann.backbone).__name__ == "ResNet"
