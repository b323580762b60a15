"""ANN configs to spiking ones and back."""

import copy
import inspect

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.backbones import ResidualBackbone
from sakd_dense.config.models import without_checkpoints
from sakd_dense.config.policy import check_norm_policy
from sakd_dense.config.sakd import to_sakd
from sakd_dense.config.scopes import load_config
from sakd_dense.config.twins import ann_of, spiking_of
from sakd_dense.config.types import SPIKING_ARGS, spiking_backbone_cfgs
from sakd_dense.config.write import read_as_base, write_config

RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
UPSTREAM = {
    RETINANET: "SEWResNet",
    "mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py": "SEWResNet",
    "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py": "SEWResNet",
    "mmdet::mask_rcnn/mask-rcnn_x101-32x4d_fpn_1x_coco.py": "SEWResNeXt",
    "mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py": "SEWResNetV1c",
    "mmpretrain::resnet/resnet50_8xb32_in1k.py": "SEWResNet",
    "mmpretrain::resnext/resnext50-32x4d_8xb32_in1k.py": "SEWResNeXt",
}


def model(**backbone) -> dict:
    return dict(type="Detector", backbone=dict(dict(type="ResNet", depth=18), **backbone))


def config(**settings) -> Config:
    return Config(dict(dict(model=model(), default_scope="mmdet"), **settings))


def shapes(backbone: dict) -> dict:
    return {k: tuple(v.shape) for k, v in MODELS.build(backbone).state_dict().items()}


@pytest.mark.parametrize("name", UPSTREAM)
def test_an_upstream_config_is_converted_written_and_read_back(name: str, tmp_path) -> None:
    base = read_as_base(name)
    before = copy.deepcopy(base.to_dict())
    cfg = to_sakd(base, "ann.pth", time_steps=2)
    assert base.to_dict() == before
    (backbone,) = spiking_backbone_cfgs(cfg.model)
    assert backbone["type"] == UPSTREAM[name]
    assert backbone["time_steps"] == 2
    assert check_norm_policy(cfg) == []
    assert cfg.custom_hooks[-1]["teacher"] == dict(checkpoint="ann.pth")
    assert "sakd_dense" in cfg.custom_imports.imports

    write_config(name, cfg, tmp_path / "sakd.py")
    assert Config.fromfile(tmp_path / "sakd.py").to_dict() == cfg.to_dict()
    text = (tmp_path / "sakd.py").read_text()
    assert text.startswith(f"_base_ = {name!r}\n")
    assert len(text.splitlines()) < 25
    assert [p.name for p in tmp_path.iterdir()] == ["sakd.py"]


@pytest.mark.parametrize("name", UPSTREAM)
def test_student_and_derived_teacher_have_the_keys_of_upstream(name: str) -> None:
    upstream = load_config(name)
    cfg = to_sakd(upstream, "ann.pth")
    init_default_scope(cfg.default_scope)
    wanted = shapes(upstream.model.backbone)
    assert shapes(cfg.model.backbone) == wanted
    assert shapes(ann_of(cfg.model)["backbone"]) == wanted


def test_ann_of_undoes_spiking_of() -> None:
    cfg = dict(type="Wrapper", detector=model(norm_eval=True), parts=[model(type="ResNetV1c")])
    spiking = spiking_of(cfg, time_steps=8, neuron="LIFNode", connect="IAND")
    assert cfg["detector"]["backbone"] == dict(type="ResNet", depth=18, norm_eval=True)
    assert spiking["detector"]["backbone"] == dict(
        type="SEWResNet",
        depth=18,
        norm_eval=True,
        time_steps=8,
        neuron="LIFNode",
        connect="IAND",
    )
    assert spiking["parts"][0]["backbone"]["type"] == "SEWResNetV1c"
    assert ann_of(spiking) == cfg


def test_the_twin_is_given_nothing_that_only_spiking_backbones_take() -> None:
    parameters = inspect.signature(ResidualBackbone.__init__).parameters.values()
    assert tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY) == SPIKING_ARGS


def test_both_families() -> None:
    spiking = spiking_of(model(type="ResNetV1c"), family="Spiking")
    assert spiking["backbone"]["type"] == "SpikingResNetV1c"
    assert ann_of(spiking)["backbone"]["type"] == "ResNetV1c"
    with pytest.raises(ValueError, match="family='Leaky'"):
        spiking_of(model(), family="Leaky")


def test_counts_take_one_time_step_and_the_sum_before_the_neuron() -> None:
    ann = Config(dict(model=model(), default_scope="mmdet"))
    backbone = to_sakd(ann, "t.pth", counts=4).model.backbone
    assert (backbone.type, backbone.time_steps) == ("SpikingResNet", 1)
    assert backbone.neuron == dict(type="NILIFNode", D=4)
    backbone = to_sakd(ann, "t.pth", 2, counts=2, family="SEW").model.backbone
    assert (backbone.type, backbone.time_steps) == ("SEWResNet", 2)
    with pytest.raises(ValueError, match="counts=0: must be an integer"):
        to_sakd(ann, counts=0)


def test_counts_reach_necks_and_heads_that_spike() -> None:
    full = load_config("configs/retinanet_sew18-full_sakd_bccd.py")
    new = to_sakd(full, counts=2).model
    for part in (new.backbone, new.neck, new.bbox_head):
        assert part.neuron == dict(type="NILIFNode", D=2)
    assert new.backbone.time_steps == 1
    assert "neuron" not in full.model.neck


def test_ann_of_forgets_what_a_checkpoint_will_give() -> None:
    student = dict(
        type="Detector",
        pretrained="torchvision://resnet18",
        init_cfg=dict(type="Pretrained", checkpoint="x.pth"),
        backbone=dict(type="SEWResNet", depth=18, output="rate", init_cfg=dict(type="Pretrained")),
        neck=dict(type="FPN"),
    )
    teacher = ann_of(student)
    assert teacher == dict(
        type="Detector",
        pretrained=None,
        init_cfg=None,
        backbone=dict(type="ResNet", depth=18, init_cfg=None),
        neck=dict(type="FPN"),
    )
    assert student["pretrained"] is not None


def test_ann_of_an_ann_names_the_way_out() -> None:
    with pytest.raises(ValueError, match="'Detector' has no spiking backbone.*config="):
        ann_of(model())


@pytest.mark.parametrize("kind", ["mmdet.ResNet", "mmdet.models.backbones.resnet.ResNet"])
def test_a_scoped_type_keeps_its_scope(kind: str) -> None:
    spiking = spiking_of(model(type=kind))
    assert spiking["backbone"]["type"] == "SEWResNet"
    assert spiking["backbone"]["_scope_"] == "mmdet"
    assert ann_of(spiking)["backbone"] == dict(type="ResNet", depth=18, _scope_="mmdet")


def test_a_type_may_be_a_class() -> None:
    from mmdet.models import ResNet

    assert spiking_of(model(type=ResNet))["backbone"]["type"] == "SEWResNet"


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (model(type="SwinTransformer"), "backbone 'SwinTransformer'.*ones are ResNet, .*UNet"),
        (model(type="DetectoRS_ResNet"), "DetectoRS_ResNet"),
        (dict(type="Classifier", head=dict(type="Head")), "'Classifier' has no backbone"),
    ],
)
def test_what_cannot_be_spiking_is_named(cfg: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_sakd(config(model=cfg), "ann.pth")


def test_a_config_without_a_model_is_named() -> None:
    with pytest.raises(ValueError, match="no model=dict"):
        to_sakd(Config(dict(a=1)), "ann.pth")
    with pytest.raises(ValueError, match="source='dnn'"):
        to_sakd(config(), "ann.pth", source="dnn")


def test_batchnorm_is_trained_after_an_ann_and_stays_after_an_snn() -> None:
    frozen = dict(norm_eval=True, frozen_stages=1, norm_cfg=dict(type="BN", requires_grad=False))
    cfg = config(model=model(**frozen))
    backbone = to_sakd(cfg, "ann.pth").model.backbone
    assert (backbone.norm_eval, backbone.frozen_stages) == (False, -1)
    assert backbone.norm_cfg.requires_grad is True
    backbone = to_sakd(cfg, "ann.pth", source="snn").model.backbone
    assert {k: backbone[k] for k in frozen} == frozen


@pytest.mark.parametrize(
    ("setting", "value"),
    [("norm_eval", True), ("frozen_stages", 0), ("norm_cfg", dict(type="BN", requires_grad=False))],
)
def test_a_config_that_keeps_the_statistics_of_an_ann_is_told(setting: str, value) -> None:
    spiking = dict(model=model(type="SEWResNet", **{setting: value}))
    hook = dict(type="SAKDHook", teacher=dict(checkpoint="a.pth"))
    (warning,) = check_norm_policy(config(**spiking, custom_hooks=[hook]))
    assert setting in warning and "do not fit spikes" in warning
    init = dict(type="SAKDTransfer", checkpoint="a.pth")
    spiking["model"]["backbone"]["init_cfg"] = init
    assert len(check_norm_policy(config(**spiking))) == 1
    assert check_norm_policy(config(**spiking, load_from="snn.pth")) == []
    spiking["model"]["backbone"].pop("init_cfg")
    assert check_norm_policy(config(**spiking, custom_hooks=[dict(hook, transfer=False)])) == []
    assert check_norm_policy(config(model=model(norm_eval=True), custom_hooks=[hook])) == []


def test_checkpoints_of_initialisation_go_only_where_level_1_comes() -> None:
    kaiming = dict(type="Kaiming", layer="Conv2d")
    pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet18")
    cfg = config(model=dict(model(init_cfg=[kaiming, pretrained]), pretrained="x.pth"))
    taught = to_sakd(cfg, "ann.pth").model
    assert taught.backbone.init_cfg == [kaiming]
    assert taught.pretrained is None
    for kept in (to_sakd(cfg, "ann.pth", transfer=False), to_sakd(cfg, None)):
        assert kept.model.backbone.init_cfg == [kaiming, pretrained]
        assert kept.model.pretrained == "x.pth"


def test_hooks_and_imports_that_are_there_stay() -> None:
    cfg = config(
        custom_hooks=[dict(type="EMAHook")],
        custom_imports=dict(imports=["mine"], allow_failed_imports=False),
    )
    new = to_sakd(cfg, "ann.pth", transfer=False, hook=dict(features=None))
    assert new.custom_imports.imports == ["mine", "sakd_dense"]
    assert new.custom_hooks == [
        dict(type="EMAHook"),
        dict(type="SAKDHook", teacher=dict(checkpoint="ann.pth"), transfer=False, features=None),
    ]
    assert to_sakd(cfg, None).custom_hooks == [dict(type="EMAHook")]


def test_a_spiking_config_only_gets_the_hook() -> None:
    cfg = config(model=model(type="SEWResNet", time_steps=6))
    new = to_sakd(cfg, "a.pth")
    assert new.model == cfg.model
    again = to_sakd(new, "b.pth", time_steps=2)
    assert again.custom_hooks == [dict(type="SAKDHook", teacher=dict(checkpoint="b.pth"))]
    assert again.model.backbone.time_steps == 2


def test_mmpretrain_defaults_are_said() -> None:
    cfg = config(model=model(type="ResNeXt", depth=50), default_scope="mmpretrain")
    backbone = to_sakd(cfg, "ann.pth").model.backbone
    # Level 2 teaches every stage that leaves the backbone; the head reads the last all the same.
    assert (backbone.out_indices, backbone.groups, backbone.base_width) == ((0, 1, 2, 3), 32, 4)
    assert ann_of(dict(type="C", backbone=backbone))["backbone"]["width_per_group"] == 4


@pytest.mark.parametrize("scope,stem", [("mmdet", None), ("mmseg", 64), ("mmpretrain", 64)])
def test_a_narrow_net_keeps_its_stem(scope, stem) -> None:
    """mmseg and mmpretrain start with 64 channels whatever base_channels is, mmdet with those."""
    cfg = config(model=model(type="ResNet", depth=18, base_channels=8), default_scope=scope)
    assert to_sakd(cfg, "ann.pth").model.backbone.get("stem_channels") == stem


def test_without_checkpoints_keeps_other_initialisation() -> None:
    cfg = model(init_cfg=dict(type="SAKDTransfer", checkpoint="x"))
    cfg["neck"] = dict(type="FPN", init_cfg=dict(type="Xavier"))
    assert without_checkpoints(cfg) == dict(
        model(init_cfg=None), neck=dict(type="FPN", init_cfg=dict(type="Xavier"))
    )


def test_a_pure_python_config_is_converted_but_not_written(tmp_path) -> None:
    (tmp_path / "base.py").write_text(
        "from mmdet.models import ResNet, RetinaNet\n"
        "model = dict(type=RetinaNet, backbone=dict(type=ResNet, depth=18, norm_eval=True))\n"
    )
    (tmp_path / "top.py").write_text(
        "from mmengine.config import read_base\nwith read_base():\n    from .base import *\n"
    )
    name = str(tmp_path / "top.py")
    backbone = to_sakd(load_config(name), "ann.pth").model.backbone
    assert (backbone.type, backbone.norm_eval) == ("SEWResNet", False)
    with pytest.raises(ValueError, match="top.py is a pure Python config.*train.py --sakd"):
        read_as_base(name)


@pytest.mark.parametrize(
    "kind", ["EventDataPreprocessor", "EventDetDataPreprocessor", "EventSegDataPreprocessor"]
)
def test_event_frames_are_the_students_steps_and_the_teachers_mean(kind: str) -> None:
    ann = dict(
        type="Detector",
        data_preprocessor=dict(type=kind, time="mean"),
        backbone=dict(type="ResNet", depth=18),
    )
    student = spiking_of(ann)
    assert student["data_preprocessor"] == dict(type=kind, time="first")
    assert ann_of(student) == ann
    stacked = dict(ann, data_preprocessor=dict(type=kind, time="channels"))
    assert spiking_of(stacked)["data_preprocessor"] == stacked["data_preprocessor"]
