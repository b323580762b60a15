"""Level 1: which key goes where, and that every key is accounted for."""

import json
import re

import pytest
import torch
import torchvision
from mmengine.registry import MODELS, init_default_scope
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model import sew_resnet, spiking_resnet

from sakd_dense.transfer import transfer
from tests.helpers.checkpoints import accounted, ann, build, equal, retinanet, save, scrambled


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


@pytest.mark.parametrize(
    ("neuron_cfg", "key", "kind"),
    [
        (dict(type="ParametricLIFNode", init_tau=4.0), "w", "learnable parameter"),
        (dict(type="NILIFNode", D=4), "threshold", "buffer"),
    ],
)
def test_neurons_stay_as_configured(ann_checkpoint: str, neuron_cfg, key, kind) -> None:
    snn = build(retinanet(neuron=neuron_cfg))
    own = {k for k in snn.state_dict() if k.endswith(f".{key}")}
    report = transfer(snn, ann_checkpoint)
    assert own and set(report.missing) == own
    assert set(report.missing.values()) == {f"{kind} of a neuron, which no ANN has"}


def test_buffers_of_the_preprocessor_are_explained(tmp_path) -> None:
    state = dict(ann().state_dict(), **{"data_preprocessor.mean": torch.zeros(3)})
    report = transfer(build(retinanet()), save(tmp_path / "c.pth", state))
    assert list(report.left) == ["data_preprocessor.mean"]


def test_the_report_is_written_whole(ann_checkpoint: str, tmp_path) -> None:
    report = transfer(build(retinanet()), ann_checkpoint, part="backbone")
    report.to_json(tmp_path / "new" / "report.json")
    written = json.loads((tmp_path / "new" / "report.json").read_text())
    assert written["taken"] == report.taken
    assert written["left"] == report.left
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.json"]
    assert "UNEXPLAINED" not in report.table()


def classifier(**backbone) -> torch.nn.Module:
    init_default_scope("mmpretrain")
    return MODELS.build(
        dict(
            type="ImageClassifier",
            backbone=dict(dict(type="SEWResNet", depth=18, out_indices=(3,)), **backbone),
            neck=dict(type="GlobalAveragePooling"),
            head=dict(type="LinearClsHead", num_classes=1000, in_channels=512),
        )
    )


def in_containers(state: dict, inner: str) -> dict:
    """The names of the official SEW-ResNet release: convolution and norm in one container."""
    named = {}
    for key, value in state.items():
        if key.startswith("layer"):
            key = re.sub(r"\.conv(\d)\.", rf".conv\1.{inner}0.", key)
            key = re.sub(r"\.bn(\d)\.", rf".conv\1.{inner}1.", key)
            key = re.sub(r"downsample\.([01])\.", rf"downsample.0.{inner}\1.", key)
        named[key] = value
    return named


@pytest.mark.parametrize("names", ["spikingjelly", "release", "release-module"])
@pytest.mark.parametrize("family,depth", [("sew", 18), ("sew", 50), ("spiking", 34)])
def test_other_projects_classifiers_by_their_outputs(tmp_path, names, family, depth) -> None:
    """The loaded backbone gives SpikingJelly's features, to 1e-5, whatever the keys are called."""
    module = {"sew": sew_resnet, "spiking": spiking_resnet}[family]
    args = dict(cnf="ADD") if family == "sew" else {}
    node = dict(surrogate_function=surrogate.ATan(), detach_reset=True)
    theirs = getattr(module, f"{family}_resnet{depth}")(
        spiking_neuron=neuron.IFNode, **args, **node
    )
    functional.set_step_mode(theirs, "m")
    torch.manual_seed(0)
    for m in theirs.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.5, 2.0)
            torch.nn.init.uniform_(m.bias, 0.0, 0.8)
    theirs.eval()
    state = theirs.state_dict()
    if names != "spikingjelly":
        state = in_containers(state, "module." if names == "release-module" else "")
        assert any(".conv1." + ("module." if "module" in names else "") + "0." in k for k in state)
    kind = {"sew": "SEWResNet", "spiking": "SpikingResNet"}[family]
    backbone = dict(
        type=kind, depth=depth, neuron=dict(type="IFNode", v_reset=0.0), output="sequence"
    )
    ours = MODELS.build(dict(backbone))
    report = transfer(ours, save(tmp_path / "c.pth", state))
    assert report.left == dict.fromkeys(["fc.weight", "fc.bias"], "torchvision's classifier")
    seen = []
    theirs.layer4.register_forward_hook(lambda m, i, o: seen.append(o))
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        theirs(x.expand(4, -1, -1, -1, -1))
        torch.testing.assert_close(ours.eval()(x)[-1], seen[0], atol=1e-5, rtol=0)


def test_a_bare_classifier_into_a_classifier_gives_its_head_too(tmp_path) -> None:
    network = torchvision.models.resnet18()
    model = classifier()
    report = transfer(model, save(tmp_path / "c.pth", network.state_dict()))
    assert report.part == "all" and report.renamed["fc.weight"] == "head.fc.weight"
    assert torch.equal(model.head.fc.weight, network.fc.weight)


def test_part_head_leaves_the_backbone(ann_checkpoint: str) -> None:
    snn = scrambled(build(retinanet()))
    before = {k: v.clone() for k, v in snn.state_dict().items()}
    report = transfer(snn, ann_checkpoint, part="head")
    source = torch.load(ann_checkpoint)["state_dict"]
    for key, value in snn.state_dict().items():
        origin = before if key.startswith("backbone.") else source
        assert torch.equal(value, origin[key]), key
    assert set(report.left.values()) == {"of the backbone"}
    assert accounted(report, source, before)


@pytest.mark.parametrize("kind", ["ResNetV1c", "ResNetV1d"])
def test_mmpretrains_deep_stem_finds_its_places(kind: str, tmp_path) -> None:
    """mmpretrain keeps the stem in ConvModules and pools fewer shortcuts of V1d than mmdet."""
    init_default_scope("mmpretrain")
    head = dict(type="LinearClsHead", num_classes=3, in_channels=256)
    backbone = dict(type=kind, depth=50, base_channels=8, stem_channels=8)
    model = dict(type="ImageClassifier", neck=dict(type="GlobalAveragePooling"), head=head)
    ann = scrambled(MODELS.build(dict(model, backbone=backbone)))
    snn = MODELS.build(dict(model, backbone=dict(backbone, type=f"SEW{kind}", out_indices=(3,))))
    save(tmp_path / "ann.pth", ann.state_dict())
    report = transfer(snn, str(tmp_path / "ann.pth"))
    assert not report.left and not report.missing and not report.shape_differs
    theirs = ann.backbone
    images = torch.rand(1, 3, 32, 32)
    snn.eval(), theirs.eval()
    modules = list(snn.backbone.stem)
    for i, block in enumerate(theirs.stem):
        conv, norm = modules[3 * i : 3 * i + 2]
        torch.testing.assert_close(norm(conv(images)), block.norm(block.conv(images)))
        images = torch.rand(1, conv.out_channels, 16, 16)
    x = torch.rand(1, 8, 16, 16)
    torch.testing.assert_close(snn.backbone.layer1[0].downsample(x), theirs.layer1[0].downsample(x))
