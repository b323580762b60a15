"""A checkpoint is loaded whole or not at all."""

import pytest
import torch

from sakd_dense.loading.load import load_for_test
from tests.helpers.scenes import build, retinanet, write_checkpoint


@pytest.fixture
def model():
    return build(retinanet(), seed=1)


def test_every_weight_is_loaded_also_through_a_wrapper(tmp_path, model):
    source = build(retinanet(), seed=2)
    state = {f"module.{k}": v for k, v in source.state_dict().items()}
    path = tmp_path / "a.pth"
    # What old checkpoints have or lack is no fault.
    counters = [k for k in state if k.endswith("num_batches_tracked")]
    for key in counters:
        del state[key]
    torch.save(dict(state_dict=state, meta=dict(epoch=3)), path)
    load_for_test(model, path)
    for key, value in source.state_dict().items():
        if f"module.{key}" not in counters:
            assert torch.equal(model.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("neck.fpn_convs.0.conv.bias"),
            "1 in the model but not in the checkpoint: neck.fpn",
        ),
        (
            lambda s: s.update({"roi_head.a": torch.zeros(1)}),
            "1 in the checkpoint with no place in the model: roi_head.a",
        ),
        (
            lambda s: s.update({"bbox_head.retina_cls.bias": torch.zeros(80)}),
            r"1 of another shape: bbox_head.retina_cls.bias \(80 in the checkpoint, 2 in the model",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, model, change, message):
    state = dict(build(retinanet()).state_dict())
    change(state)
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=f"other.pth does not fit the RetinaNet.*{message}"):
        load_for_test(model, path)


def test_another_depth_is_refused(tmp_path, model):
    other = write_checkpoint(build(retinanet(depth=34)), tmp_path / "34.pth")
    with pytest.raises(
        ValueError, match="checkpoint with no place in the model: backbone.layer1.2"
    ):
        load_for_test(model, other)


def test_no_file(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="nowhere.pth"):
        load_for_test(model, tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("text", "warned"),
    [("backbone=dict(type='ResNet')", True), ("dict(type='SEWResNet', depth=18)", False)],
)
def test_a_checkpoint_of_the_ann_is_pointed_out(tmp_path, model, monkeypatch, text, warned):
    messages = []
    monkeypatch.setattr(
        "sakd_dense.loading.load.print_log", lambda message, **_: messages.append(message)
    )
    load_for_test(model, write_checkpoint(model, tmp_path / "a.pth", cfg=text))
    assert any("has no SEWResNet" in m for m in messages) == warned
