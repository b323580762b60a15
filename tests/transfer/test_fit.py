"""One account of keys for level 1, the teacher and strict loading."""

from collections.abc import Callable

import pytest
import torch
from torchvision.models import resnet18

from sakd_dense.config.twins import ann_of
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.loading.load import load_for_test
from sakd_dense.runtime.errors import UserError
from sakd_dense.transfer import transfer
from sakd_dense.transfer.fit import ADAPTORS
from tests.helpers.checkpoints import ann, build, retinanet, save


def level_1(file: str) -> dict[str, torch.Tensor]:
    snn = build(retinanet())
    transfer(snn, file)
    return snn.state_dict()


def teacher(file: str) -> dict[str, torch.Tensor]:
    return build_teacher(ann_of(retinanet()), file, build(retinanet())).state_dict()


def strict(file: str) -> dict[str, torch.Tensor]:
    model = build(retinanet("ResNet"))
    load_for_test(model, file)
    return model.state_dict()


LOADERS = pytest.mark.parametrize("load", [level_1, teacher, strict])
Load = Callable[[str], dict[str, torch.Tensor]]


@LOADERS
def test_what_is_no_weight_is_excused(tmp_path, load: Load) -> None:
    state = {k: v for k, v in ann().state_dict().items() if "num_batches_tracked" not in k}
    extra = {"data_preprocessor.mean": torch.zeros(3), "steps": torch.ones(1)}
    extra["backbone.transform4.1.running_var"] = torch.ones(2)
    loaded = load(save(tmp_path / "c.pth", {**state, **extra}))
    key = "neck.lateral_convs.0.conv.weight"
    assert torch.equal(loaded[key], state[key])


def test_adaptors_of_the_authors_release_are_left_out(tmp_path) -> None:
    """SAKD's checkpoints: torchvision's names behind ``module.``, and an adaptor a stage."""
    state = resnet18().state_dict()
    for stage in range(1, 5):
        state[f"transform{stage}.0.weight"] = torch.ones(1)
    adapted = {f"module.{k}": v for k, v in state.items()}
    snn = build(dict(type="SEWResNet", depth=18))
    report = transfer(snn, save(tmp_path / "c.pth", adapted))
    left = {k: why for k, why in report.left.items() if "transform" in k}
    assert len(left) == 4 and set(left.values()) == {ADAPTORS}
    assert torch.equal(snn.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])


def test_another_layer_of_that_name_is_no_adaptor(tmp_path) -> None:
    state = {**ann().state_dict(), "neck.transform1.weight": torch.ones(1)}
    with pytest.raises(UserError, match=r"transform1"):
        level_1(save(tmp_path / "c.pth", state))


@LOADERS
@pytest.mark.parametrize(
    "change,says",
    [
        (lambda s: s.pop("neck.lateral_convs.0.conv.bias"), "1 in the model but not in the check"),
        (lambda s: s.update({"mask.a": torch.ones(1)}), "1 in the checkpoint with no place .*mask"),
        (
            lambda s: s.update({"bbox_head.retina_cls.bias": torch.zeros(80)}),
            r"retina_cls.bias \(80 in the checkpoint, 2 in the model",
        ),
        (
            lambda s: s.update({"bbox_head.retina_cls.bias": torch.zeros(())}),
            r"retina_cls.bias \(scalar in the checkpoint, 2 in the model",
        ),
    ],
)
def test_a_fault_is_named_in_the_same_words(tmp_path, load: Load, change, says) -> None:
    state = dict(ann().state_dict())
    change(state)
    with pytest.raises(ValueError, match=f"c.pth(.|\n)*{says}"):
        load(save(tmp_path / "c.pth", state))


def test_a_teacher_of_features_needs_its_backbone_whole(tmp_path) -> None:
    student = build(retinanet())
    backbone = {k: v for k, v in ann().state_dict().items() if k.startswith("backbone.")}
    for file in (
        save(tmp_path / "c.pth", ann(depth=34).state_dict()),  # every key of an 18 is in it
        save(tmp_path / "d.pth", {k: v for k, v in backbone.items() if "layer4" not in k}),
    ):
        with pytest.raises(ValueError, match="does not fit the teacher: .*backbone.layer"):
            build_teacher(ann_of(retinanet()), file, student, backbone_only=True)
    file = save(tmp_path / "b.pth", {**backbone, "backbone.fc.weight": torch.ones(1)})
    build_teacher(ann_of(retinanet()), file, student, backbone_only=True)
    with pytest.raises(ValueError, match="responses=None"):
        build_teacher(ann_of(retinanet()), file, student)
