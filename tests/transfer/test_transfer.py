"""Level 1: which key goes where, and that every key is accounted for."""

import json

import pytest
import torch
import torchvision
from mmengine.registry import MODELS

from sakd_dense.transfer import TransferError, transfer
from tests.transfer.models import ann, build, retinanet, save, scrambled


def accounted(report, source: dict, target: dict) -> bool:
    from_source = [*report.taken, *report.renamed, *report.left]
    to_target = [*report.loaded, *report.missing, *report.shape_differs]
    differing = len(source) - len(from_source)
    return (
        len(set(from_source)) == len(from_source)
        and set(from_source) <= set(source)
        and sorted(to_target) == sorted(target)
        and differing == len(report.shape_differs)
    )


def equal(a: dict, b: dict) -> bool:
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_a_whole_detector_is_taken(ann_checkpoint: str) -> None:
    snn = build(retinanet())
    report = transfer(snn, ann_checkpoint)
    source = torch.load(ann_checkpoint)["state_dict"]
    assert report.part == "all"
    assert equal(snn.state_dict(), source)
    assert sorted(report.taken) == sorted(source)
    assert accounted(report, source, snn.state_dict())


def test_part_backbone_leaves_neck_and_head(ann_checkpoint: str) -> None:
    snn = scrambled(build(retinanet()))
    before = {k: v.clone() for k, v in snn.state_dict().items()}
    report = transfer(snn, ann_checkpoint, part="backbone")
    source = torch.load(ann_checkpoint)["state_dict"]
    for key, value in snn.state_dict().items():
        origin = source if key.startswith("backbone.") else before
        assert torch.equal(value, origin[key]), key
    assert set(report.left.values()) == {"not part of the backbone"}
    assert set(report.missing.values()) == {"not part of a backbone checkpoint"}
    assert accounted(report, source, before)


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision_into_a_detector(tmp_path, depth: int) -> None:
    network = getattr(torchvision.models, f"resnet{depth}")()
    file = tmp_path / "tv.pth"
    torch.save(network.state_dict(), file)
    cfg = retinanet(depth=depth)
    cfg["backbone"]["base_channels"] = 64
    cfg["neck"]["in_channels"] = [16 * c for c in cfg["neck"]["in_channels"]]
    snn = build(cfg)
    report = transfer(snn, file)
    assert report.part == "backbone"
    assert report.left == dict.fromkeys(["fc.weight", "fc.bias"], "torchvision's classifier")
    assert report.renamed["layer1.0.conv1.weight"] == "backbone.layer1.0.conv1.weight"
    weights = network.state_dict()
    for key, value in snn.backbone.state_dict().items():
        assert torch.equal(value, weights[key]), key
    assert accounted(report, weights, snn.state_dict())


def test_into_a_backbone_alone(ann_checkpoint: str) -> None:
    backbone = MODELS.build(retinanet()["backbone"])
    report = transfer(backbone, ann_checkpoint)
    assert report.part == "backbone"
    assert report.renamed["backbone.conv1.weight"] == "conv1.weight"
    source = torch.load(ann_checkpoint)["state_dict"]
    assert torch.equal(backbone.conv1.weight, source["backbone.conv1.weight"])


def test_a_detector_inside_a_wrapper_on_either_side(tmp_path) -> None:
    state = {f"detector.{k}": v for k, v in ann().state_dict().items()}
    snn = build(retinanet())
    report = transfer(snn, save(tmp_path / "c.pth", state))
    assert len(report.renamed) == len(state)
    outer = torch.nn.ModuleDict(dict(student=build(retinanet())))
    plain = save(tmp_path / "d.pth", ann().state_dict())
    assert "student.neck.lateral_convs.0.conv.weight" in transfer(outer, plain).loaded


def test_a_classifier_into_a_detector_gives_its_backbone(tmp_path) -> None:
    state = {k: v for k, v in ann().state_dict().items() if k.startswith("backbone.")}
    state["head.fc.weight"] = torch.rand(3, 3)
    report = transfer(build(retinanet()), save(tmp_path / "c.pth", state))
    assert report.part == "backbone"
    assert report.left == {"head.fc.weight": "not part of the backbone"}


def test_old_checkpoints_lack_counters(tmp_path) -> None:
    state = {k: v for k, v in ann().state_dict().items() if "num_batches_tracked" not in k}
    report = transfer(build(retinanet()), save(tmp_path / "c.pth", state))
    assert set(report.missing.values()) == {"a counter that old checkpoints lack"}


def test_learnable_neurons_stay_as_configured(ann_checkpoint: str) -> None:
    snn = build(retinanet(neuron=dict(type="ParametricLIFNode", init_tau=4.0)))
    learnable = {k for k in snn.state_dict() if k.endswith(".w")}
    report = transfer(snn, ann_checkpoint)
    assert learnable and set(report.missing) == learnable
    assert all("neuron" in why for why in report.missing.values())


def test_buffers_of_the_preprocessor_are_explained(tmp_path) -> None:
    state = dict(ann().state_dict(), **{"data_preprocessor.mean": torch.zeros(3)})
    report = transfer(build(retinanet()), save(tmp_path / "c.pth", state))
    assert list(report.left) == ["data_preprocessor.mean"]


def unchanged_after(snn, checkpoint: str, message: str, **options) -> TransferError:
    before = {k: v.clone() for k, v in snn.state_dict().items()}
    with pytest.raises(TransferError, match=message) as caught:
        transfer(snn, checkpoint, **options)
    assert equal(snn.state_dict(), before)
    return caught.value


def test_another_depth_is_named(tmp_path) -> None:
    checkpoint = save(tmp_path / "c.pth", ann(depth=50).state_dict())
    message = "checkpoint's backbone is a ResNet-50, the model's a ResNet-18"
    error = unchanged_after(build(retinanet()), checkpoint, message)
    assert error.report.unexplained


def test_another_stem_is_named(tmp_path) -> None:
    checkpoint = save(tmp_path / "c.pth", ann().state_dict())
    snn = build(retinanet("SEWResNetV1d"))
    unchanged_after(snn, checkpoint, "a ResNet-18, the model's a ResNet-18 with a deep stem")


def test_another_number_of_classes_is_an_error_unless_allowed(tmp_path) -> None:
    checkpoint = save(tmp_path / "c.pth", ann(num_classes=5).state_dict())
    snn = build(retinanet())
    message = r"bbox_head.retina_cls.weight \(5x8x3x3 there, 2x8x3x3 here\)(.|\n)*num_classes"
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
    with pytest.raises(ValueError, match="part='head': take one of"):
        transfer(build(retinanet()), ann_checkpoint, part="head")


def test_the_report_is_written_whole(ann_checkpoint: str, tmp_path) -> None:
    report = transfer(build(retinanet()), ann_checkpoint, part="backbone")
    report.to_json(tmp_path / "new" / "report.json")
    written = json.loads((tmp_path / "new" / "report.json").read_text())
    assert written["taken"] == report.taken
    assert written["left"] == report.left
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.json"]
    assert "UNEXPLAINED" not in report.table()
