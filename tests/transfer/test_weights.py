"""Which weights are taken of a checkpoint that holds several sets of them."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from sakd_dense.export.publishing import publish
from sakd_dense.loading.load import load_for_test
from sakd_dense.transfer import TransferError, read_checkpoint, transfer
from tests.helpers.checkpoints import ann, build, retinanet, save

RAW = {"backbone.conv1.weight": torch.zeros(2), "backbone.bn1.running_mean": torch.ones(2)}
EMA = {"backbone.conv1.weight": torch.full((2,), 5.0), "backbone.bn1.running_mean": torch.ones(2)}
IN_DDP = {f"module.{k}": v for k, v in RAW.items()}
OF_MMDET2 = {**RAW, "ema_backbone_conv1_weight": EMA["backbone.conv1.weight"]}
WRITERS = {
    "timm": dict(state_dict=RAW, state_dict_ema=EMA),
    "torchvision": dict(model=RAW, model_ema={**EMA, "n_averaged": torch.ones(1)}),
    # EMAHook swaps the two when it saves.
    "mmengine": dict(state_dict=EMA, ema_state_dict={**IN_DDP, "steps": torch.ones(1)}),
    "mmdet 2": dict(state_dict=OF_MMDET2, meta=dict(epoch=1)),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("weights,wanted", [("ema", EMA), ("raw", RAW)])
def test_average_and_raw_weights_of_every_writer(tmp_path, writer, weights, wanted) -> None:
    torch.save(WRITERS[writer], tmp_path / "c.pth")
    checkpoint = read_checkpoint(tmp_path / "c.pth", weights)
    chosen = {k: v for k, v in checkpoint.state.items() if k != "n_averaged"}
    assert chosen.keys() == wanted.keys()
    assert all(torch.equal(chosen[k], wanted[k]) for k in wanted)
    assert f"weights={weights!r}" in checkpoint.note


@pytest.mark.parametrize("writer", ["timm", "torchvision", "mmengine"])
def test_the_average_is_taken_where_it_lies_apart(tmp_path, writer) -> None:
    torch.save(WRITERS[writer], tmp_path / "c.pth")
    checkpoint = read_checkpoint(tmp_path / "c.pth")
    assert torch.equal(checkpoint.state["backbone.conv1.weight"], EMA["backbone.conv1.weight"])
    assert "taken: the average" in checkpoint.note


@pytest.mark.parametrize(
    "weights,says", [("ema", "one set of weights and no average"), ("teacher", "'teacher.'")]
)
def test_weights_that_are_not_there_are_named(tmp_path, weights, says) -> None:
    torch.save(RAW, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=f"weights='{weights}'.*{says}"):
        read_checkpoint(tmp_path / "c.pth", weights)


def of_mmdet2(path) -> tuple[str, nn.Module, nn.Module]:
    raw, average = ann(), ann()
    state = dict(raw.state_dict())
    for name, value in average.named_parameters():
        state["ema_" + name.replace(".", "_")] = value.detach()
    return save(path, state), raw, average


def test_a_second_set_under_ema_is_taken_by_name(tmp_path) -> None:
    file, raw, average = of_mmdet2(tmp_path / "c.pth")
    advice = "weights='ema' loads those, weights='raw' the others"
    with pytest.raises(TransferError, match=advice):
        transfer(build(retinanet()), file)
    with pytest.raises(ValueError, match=f"{advice}.*tools/transfer.py"):
        load_for_test(ann(), file)
    for weights, source in (("ema", average), ("raw", raw)):
        snn = build(retinanet())
        report = transfer(snn, file, weights=weights)
        for name, value in source.named_parameters():
            assert torch.equal(snn.get_parameter(name), value), name
        # Of statistics there is one set.
        assert torch.equal(snn.backbone.bn1.running_mean, raw.backbone.bn1.running_mean)
        assert len(report.left) == len(list(source.parameters()))
        assert weights in report.table()


def test_the_initialiser_takes_them_too(tmp_path) -> None:
    file, _, average = of_mmdet2(tmp_path / "c.pth")
    model = build(
        dict(retinanet(), init_cfg=dict(type="SAKDTransfer", checkpoint=file, weights="ema"))
    )
    model.init_weights()
    assert torch.equal(model.backbone.conv1.weight, average.backbone.conv1.weight)


def beside_each_other(path, *names: str) -> tuple[str, dict[str, nn.Module]]:
    models = {name: ann() for name in names}
    state = {f"{n}.{k}": v for n, model in models.items() for k, v in model.state_dict().items()}
    return save(path, state), models


@pytest.mark.parametrize(
    "names,taken",
    [
        (("student", "teacher"), "teacher"),  # mmdet's wrappers test the average
        (("teacher", "student"), "teacher"),
        (("architecture", "teacher"), "architecture"),  # mmrazor's distillers train it
        (("teacher", "architecture"), "architecture"),
    ],
)
@pytest.mark.parametrize("part", ["auto", "all", "backbone", "head"])
def test_of_two_models_the_tested_one_is_taken(tmp_path, names, taken, part) -> None:
    file, models = beside_each_other(tmp_path / "c.pth", *names)
    messages: list[str] = []
    logger = MMLogger.get_current_instance()
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel("INFO")
    try:
        snn = build(retinanet())
        report = transfer(snn, file, part)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert any(f"taken: {taken}" in m for m in messages)
    source = models[taken].state_dict()
    assert report.loaded
    assert all(torch.equal(snn.state_dict()[k], source[k]) for k in report.loaded)
    (other,) = set(names) - {taken}
    assert report.left[f"{other}.backbone.conv1.weight"] == f"not of {taken}, which is taken"
    snn = build(retinanet())
    transfer(snn, file, part, weights=other)
    source = models[other].state_dict()
    assert all(torch.equal(snn.state_dict()[k], source[k]) for k in report.loaded)


def test_which_of_other_models_is_asked_for(tmp_path) -> None:
    file, models = beside_each_other(tmp_path / "c.pth", "left", "right")
    with pytest.raises(ValueError, match=r"several models \(left, right\).*weights='left'"):
        transfer(build(retinanet()), file)
    snn = build(retinanet())
    transfer(snn, file, weights="right")
    assert torch.equal(snn.backbone.conv1.weight, models["right"].backbone.conv1.weight)


def test_a_model_that_holds_several_is_refused(ann_checkpoint: str) -> None:
    outer = nn.ModuleDict({name: build(retinanet()) for name in ("student", "teacher")})
    with pytest.raises(ValueError, match=r"several models.*model.student instead of model"):
        transfer(outer, ann_checkpoint)


def test_the_published_backbone_is_that_of_the_tested_model(tmp_path) -> None:
    file, models = beside_each_other(tmp_path / "c.pth", "student", "teacher")
    state = torch.load(publish(file, tmp_path / "slim.pth", form="torchvision"))
    assert torch.equal(state["conv1.weight"], models["teacher"].backbone.conv1.weight)
