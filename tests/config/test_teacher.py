"""The teacher's config of a whole student config."""

import pytest
from mmengine.config import Config

from sakd_dense.config import teacher_of

SPIKING = dict(type="Detector", backbone=dict(type="SEWResNet", depth=18, time_steps=2))
ANN = dict(type="Detector", backbone=dict(type="ResNet", depth=18))


def test_it_is_the_students_with_its_ann_backbone() -> None:
    assert teacher_of(Config(dict(model=SPIKING))) == ANN


def test_the_preprocessor_beside_the_model_goes_into_it() -> None:
    cfg = Config(dict(model=SPIKING, data_preprocessor=dict(mean=[1.0])))
    assert teacher_of(cfg) == dict(ANN, data_preprocessor=dict(mean=[1.0]))
    assert "data_preprocessor" not in cfg.model


def test_of_a_semi_supervised_wrapper_it_is_that_of_its_detector() -> None:
    wrapper = dict(type="SoftTeacher", detector=SPIKING, data_preprocessor=dict(type="Multi"))
    assert teacher_of(Config(dict(model=wrapper))) == ANN


@pytest.mark.parametrize("asked", [False, True])
def test_a_config_that_is_named_wins(tmp_path, asked) -> None:
    file = tmp_path / "ann.py"
    file.write_text(f"model = {dict(ANN, type='Other')!r}\ndata_preprocessor = dict(mean=[2.0])")
    hook = dict(type="SAKDHook", teacher=dict(checkpoint="a.pth", config=str(file)))
    cfg = Config(dict(model=SPIKING, custom_hooks=[] if asked else [hook]))
    teacher = teacher_of(cfg, str(file)) if asked else teacher_of(cfg)
    assert teacher == dict(ANN, type="Other", data_preprocessor=dict(mean=[2.0]))


def test_a_student_without_a_spiking_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="no spiking backbone"):
        teacher_of(Config(dict(model=ANN)))


def test_where_types_are_classes_the_twins_name_has_a_scope() -> None:
    pytest.importorskip("mmdet")
    from mmdet.models import RetinaNet

    from sakd_dense.backbones import SEWResNet

    model = dict(type=RetinaNet, backbone=dict(type=SEWResNet, depth=18))
    backbone = teacher_of(Config(dict(model=model)))["backbone"]
    assert backbone == dict(type="ResNet", depth=18, _scope_="mmdet")
