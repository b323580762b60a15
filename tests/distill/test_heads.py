"""What heads give: found from their type, or declared; methods that are tapped."""

import pytest
import torch
from torch import nn

from sakd_dense.distill.responses import declare_head, find_response
from sakd_dense.distill.responses.heads import layout_of
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


@pytest.mark.parametrize(
    "outputs,says",
    [
        (("scores", "boxen"), "'boxen': take one of"),
        (("boxes",), "names 'scores' or 'probabilities' not once"),
        (("scores", "probabilities"), "not once"),
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
