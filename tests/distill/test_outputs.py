"""Level 2 by kind of output: heads of every kind, as upstream configures them, made narrow."""

import copy
from typing import Any

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.config.twins import ann_of, spiking_of
from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.terms import Terms
from tests.helpers.families import FAMILIES, shrunk
from tools.compat.inputs import batch_for


class Pair:
    """A student in training mode, its teacher of the same weights in eval, and a batch."""

    def __init__(self, name: str, size: int = 64) -> None:
        self.terms = FAMILIES[name][0]
        self.scope, cfg = shrunk(name, size)
        init_default_scope(self.scope)
        cfg = spiking_of(cfg, 3, self.scope)
        torch.manual_seed(0)
        self.student = MODELS.build(copy.deepcopy(cfg))
        self.student.init_weights()
        with torch.no_grad():  # fresh heads answer all alike
            for p in self.student.parameters():
                p.add_(0.05 * torch.randn_like(p))
        self.student.train()
        self.teacher = MODELS.build(ann_of(cfg)).eval().requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())
        self.batch = batch_for(cfg, self.scope, size)

    def forward(self, prefix: int | None, **responses: Any):
        """(response, the student's own losses, level 2's terms)"""
        # What a Runner says of where it is: some heads warm up by it.
        MessageHub.get_current_instance().update_info_dict(dict(iter=0, max_iters=1, epoch=0))
        response = find_response(self.student, **responses)
        options = LevelTwo(features=None, prefixes="random", prefix_weight=1.0)
        terms = Terms(self.student, self.teacher, options, response)
        data = self.student.data_preprocessor(self.batch, True)
        losses = self.student(**data, mode="loss")
        added = terms(data["inputs"], data["data_samples"], prefix)
        terms.clear()
        terms.remove()
        return response, losses, added


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request):
    return Pair(request.param)


def test_terms_and_gradients(pair):
    before = set(vars(pair.student)) | set(vars(getattr(pair.student, "roi_head", pair.student)))
    _, losses, added = pair.forward(1)
    names = {f"loss_sakd_{n}" for n in pair.terms}
    assert set(added) == names | {n.replace("sakd_", "sakd_prefix_") for n in names}
    for name, value in added.items():
        assert value.dtype == torch.float32 and value.dim() == 0, name
        assert value.isfinite() and value > 0, name
    pair.student.zero_grad()
    sum(added.values()).backward()
    grads = {n: p.grad for n, p in pair.student.named_parameters() if p.grad is not None}
    assert all(g.isfinite().all() for g in grads.values())
    assert any(g.any() for n, g in grads.items() if n.startswith("backbone"))
    assert any(g.any() for n, g in grads.items() if "head" in n)
    assert all(p.grad is None for p in pair.teacher.parameters())
    after = set(vars(pair.student)) | set(vars(getattr(pair.student, "roi_head", pair.student)))
    assert after == before


def test_zero_when_both_say_the_same(pair):
    """The student, asked as in training, against its own weights as a teacher."""
    response, _, _ = pair.forward(None)
    taps = response.taps(pair.student)
    data = pair.student.data_preprocessor(pair.batch, True)
    pair.student(**data, mode="loss")
    like = response.gather([tap.take() for tap in taps], pair.student)
    for tap in taps:
        tap.remove()
    maps = tuple(m.detach() for m in pair.student.backbone(data["inputs"]))
    one, two = (response.run(pair.teacher, maps, like, data["data_samples"]) for _ in range(2))
    for name, value in response.compare(one, two, pair.student, data["data_samples"]).items():
        assert value.item() == pytest.approx(0, abs=1e-5), name
