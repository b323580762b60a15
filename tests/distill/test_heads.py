"""What heads give: found from their type, or declared; methods that are tapped."""

import pytest
import torch
from torch import nn

from sakd_dense.distill.responses import declare_head, find_response
from sakd_dense.distill.responses.heads import layout_of, unpacked
from sakd_dense.distill.taps import MethodTap


class Head(nn.Module):
    cls_out_channels = 3

    def forward(self, maps):
        return [m[:, :3] for m in maps], [m[:, 3:7] for m in maps]


class Derived(Head):
    pass


@pytest.fixture
def declared(monkeypatch):
    monkeypatch.setattr("sakd_dense.distill.responses.heads._LAYOUTS", {})
    declare_head("Head", "scores", "values")


def test_a_declared_head_is_taught(declared):
    model = nn.Module()
    model.bbox_head = Derived()
    response = find_response(model)
    mine, theirs = (torch.randn(2, 7, 4, 4) for _ in range(2))
    one, two = (response.run(model, (m,)) for m in (mine, theirs))
    terms = response.compare(one, two, model)
    assert set(terms) == {"cls", "box"} and all(v > 0 for v in terms.values())
    assert all(v.abs() < 1e-6 for v in response.compare(one, one, model).values())


def test_other_heads_are_not_known(declared):
    assert layout_of(nn.Conv2d(1, 1, 1)) is None
    assert layout_of(None) is None


def test_maps_that_hold_several_kinds_are_taken_apart():
    """YOLOv3's: anchor by anchor x, y, w, h, presence, and a score for each class."""
    head = type("YOLOV3Head", (nn.Module,), dict(num_base_priors=2))()
    maps = torch.arange(2 * 14.0).view(2, 14, 1, 1)
    scores, boxes, presence = unpacked(head, ([maps],))
    assert scores[0].flatten(1).tolist() == [[5, 6], [12, 13], [19, 20], [26, 27]]
    assert boxes[0][1].flatten().tolist() == [7, 8, 9, 10]
    assert presence[0].flatten().tolist() == [4, 11, 18, 25]


def test_corners_are_paired():
    head = type("CornerHead", (nn.Module,), {})()
    kinds = [[torch.full((1, 1, 2, 2), float(i))] for i in range(4)]
    heats, offsets = unpacked(head, [*kinds[:2], [None], [None], *kinds[2:]])
    assert [x[0].flatten(1)[:, 0].tolist() for x in (heats, offsets)] == [[0, 1], [2, 3]]


def test_a_declared_head_is_unpacked(declared, monkeypatch):
    monkeypatch.setattr("sakd_dense.distill.responses.heads._UNPACK", {})
    declare_head("Head", "scores", unpack=lambda head, output: output[0])
    assert unpacked(Derived(), [["scores"]]) == ["scores"]
    assert unpacked(nn.Conv2d(1, 1, 1), [["scores"]]) == [["scores"]]


@pytest.mark.parametrize(
    "outputs,says",
    [
        (("scores", "boxen"), "'boxen': must be one of"),
        (("boxes",), "must contain 'scores' or 'probabilities' exactly once"),
        (("scores", "probabilities"), "exactly once"),
    ],
)
def test_bad_declarations_are_named(outputs, says):
    with pytest.raises(ValueError, match=says):
        declare_head("Other", *outputs)


class Asked(nn.Module):
    def boxes(self, x, rois, stage=0):
        return x + rois

    def masks(self, x, *, rois):
        return x * rois


def test_methods_are_tapped_in_order_and_by_name():
    module = Asked()
    tap = MethodTap(module, "boxes", "masks", "missing")
    assert module.boxes(1, 2) == 3
    assert module.masks(3, rois=4) == 12
    module.eval()
    module.boxes(5, 6)  # validation leaves nothing behind
    calls = tap.take()
    assert [(c.method, c.arguments) for c in calls] == [
        ("boxes", dict(x=1, rois=2, stage=0)),
        ("masks", dict(x=3, rois=4)),
    ]
    assert [c.output for c in calls] == [3, 12]
    tap.remove()
    assert not {"boxes", "masks"} & set(vars(module))
    assert module.train().boxes(1, 2) == 3 and not tap.take()
