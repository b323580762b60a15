"""Semi-supervised wrappers: their detector is taught on the labelled branch alone."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from sakd_dense.convert import ann_of
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.schedule import Weight
from sakd_dense.distill.subject import on_loss, subject_config, subject_of
from sakd_dense.distill.terms import Terms

from ..timesteps.scenes import build, detection_batch, retinanet


class Semi(nn.Module):
    """As mmdet's SemiBaseDetector calls things."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.student = detector
        self.semi_train_cfg = dict(sup_weight=0.5)

    def loss_by_gt_instances(self, inputs, samples):
        losses = self.student.loss(inputs, samples)
        return {f"sup_{k}": [0.5 * v for v in vs] for k, vs in losses.items()}

    def forward(self, inputs, samples):
        losses = self.loss_by_gt_instances(inputs, samples)
        unsupervised = self.student.loss(inputs.flip(-1), samples)
        return {**losses, **{f"unsup_{k}": v for k, v in unsupervised.items()}}


@pytest.fixture
def wrapped():
    cfg = retinanet()
    student = build(cfg).train()
    init_default_scope("mmdet")
    teacher = MODELS.build(ann_of(cfg)).eval().requires_grad_(False)
    response = find_response(student)
    terms = Terms(student, teacher, dict(type="FeaturePKD"), response, Weight(1.0, "w"), "teacher")
    return Semi(student), terms


def test_terms_join_the_labelled_branch(wrapped):
    model, terms = wrapped
    data = model.student.data_preprocessor(detection_batch((64, 64), (64, 64)), True)
    given = []

    def add(inputs, samples):
        given.append(inputs)
        return terms(inputs, samples, (1,), 0.0)

    plain = set(model(data["inputs"], data["data_samples"]))
    terms.clear()
    unhook = on_loss(model, add)
    losses = model(data["inputs"], data["data_samples"])
    added = {"feat", "cls", "box", "prefix_feat", "prefix_cls", "prefix_box"}
    assert set(losses) - plain == {f"sup_loss_sakd_{name}" for name in added}
    assert len(given) == 1 and torch.equal(given[0], data["inputs"])
    terms.clear()
    unhook()
    assert set(model(data["inputs"], data["data_samples"])) == plain


def test_weights_of_the_wrapper_hold(wrapped):
    model, terms = wrapped
    terms.remove()
    batch = detection_batch((64, 64), (64, 64))
    data = model.student.data_preprocessor(batch, True)
    on_loss(model, lambda inputs, samples: dict(loss_sakd_x=torch.tensor(4.0)))
    assert model(data["inputs"], data["data_samples"])["sup_loss_sakd_x"] == 2.0


def test_what_is_taught():
    detector = build(retinanet())
    assert subject_of(detector) is detector
    assert subject_of(Semi(detector)) is detector
    cfg = dict(
        type="SoftTeacher", detector=dict(type="FasterRCNN", backbone=dict(type="SEWResNet"))
    )
    assert subject_config(cfg)["type"] == "FasterRCNN"
    assert subject_config(cfg["detector"]) is cfg["detector"]
