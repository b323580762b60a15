"""Checkpoints that level 1 refuses: the fault is named, and the model stays as it was."""

import pytest
import torch

from sakd_dense.transfer import TransferError, transfer
from tests.helpers.checkpoints import accounted, ann, build, equal, retinanet, save


def unchanged_after(snn, checkpoint: str, message: str, **options) -> TransferError:
    before = {k: v.clone() for k, v in snn.state_dict().items()}
    with pytest.raises(TransferError, match=message) as caught:
        transfer(snn, checkpoint, **options)
    assert equal(snn.state_dict(), before)
    return caught.value


def test_another_depth_is_named(tmp_path) -> None:
    checkpoint = save(tmp_path / "c.pth", ann(depth=50).state_dict())
    message = "checkpoint's backbone is a ResNet-50, but the model's is a ResNet-18"
    error = unchanged_after(build(retinanet()), checkpoint, message)
    assert error.report.unexplained


def test_another_stem_is_named(tmp_path) -> None:
    checkpoint = save(tmp_path / "c.pth", ann().state_dict())
    snn = build(retinanet("SEWResNetV1d"))
    unchanged_after(snn, checkpoint, "a ResNet-18, but the model's is a ResNet-18 with a deep stem")


def test_another_number_of_classes_is_an_error_unless_allowed(tmp_path) -> None:
    checkpoint = save(tmp_path / "c.pth", ann(num_classes=5).state_dict())
    snn = build(retinanet())
    shapes = r"\(5x8x3x3 in the checkpoint, 2x8x3x3 in the model\)"
    message = rf"bbox_head.retina_cls.weight {shapes}(.|\n)*num_classes"
    unchanged_after(snn, checkpoint, message)
    before = snn.bbox_head.retina_cls.weight.clone()
    report = transfer(snn, checkpoint, missing_ok=["bbox_head.retina_cls.*"])
    assert sorted(report.shape_differs) == [
        "bbox_head.retina_cls.bias",
        "bbox_head.retina_cls.weight",
    ]
    assert torch.equal(snn.bbox_head.retina_cls.weight, before)
    assert accounted(report, torch.load(checkpoint)["state_dict"], snn.state_dict())


def test_a_key_with_no_place_is_an_error_unless_allowed(tmp_path) -> None:
    state = dict(ann().state_dict(), **{"mask_head.conv.weight": torch.rand(2)})
    checkpoint = save(tmp_path / "c.pth", state)
    error = unchanged_after(build(retinanet()), checkpoint, "mask_head.conv.weight(.|\n)*left_ok")
    assert error.report.left == {"mask_head.conv.weight": None}
    report = transfer(build(retinanet()), checkpoint, left_ok=["mask_head.*"])
    assert report.left == {"mask_head.conv.weight": "allowed by left_ok"}


def test_a_missing_key_is_an_error_unless_allowed(tmp_path) -> None:
    state = ann().state_dict()
    del state["neck.lateral_convs.0.conv.bias"]
    checkpoint = save(tmp_path / "c.pth", state)
    message = "in the model but not in the checkpoint: neck.lateral_convs.0.conv.bias"
    unchanged_after(build(retinanet()), checkpoint, message)
    transfer(build(retinanet()), checkpoint, missing_ok=["neck.*.bias"])


def test_values_that_are_not_finite_are_refused(tmp_path) -> None:
    state = ann().state_dict()
    state["backbone.conv1.weight"][0] = float("nan")
    checkpoint = save(tmp_path / "c.pth", state)
    unchanged_after(build(retinanet()), checkpoint, "NaN or infinite values in backbone.conv1")


def test_a_checkpoint_of_something_else_is_refused(tmp_path) -> None:
    checkpoint = save(tmp_path / "c.pth", {"encoder.weight": torch.ones(2)})
    unchanged_after(build(retinanet()), checkpoint, "holds no ResNet")


def test_an_unknown_part_is_named(ann_checkpoint: str) -> None:
    with pytest.raises(ValueError, match="part='tail': must be one of"):
        transfer(build(retinanet()), ann_checkpoint, part="tail")
