"""Semi-supervised wrappers: their detector is taught on the labelled branch alone."""

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from sakd_dense.config.teacher import student_config
from sakd_dense.config.twins import ann_of
from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.terms import Terms
from sakd_dense.distill.wrappers import on_loss, student_of
from tests.helpers.scenes import build, detection_batch, retinanet, write_checkpoint
from tests.helpers.tasks import TASKS


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
    terms = Terms(student, teacher, LevelTwo(prefixes="random"), response)
    return Semi(student), terms


def test_terms_join_the_labelled_branch(wrapped):
    model, terms = wrapped
    data = model.student.data_preprocessor(detection_batch((64, 64), (64, 64)), True)
    given = []

    def add(inputs, samples):
        given.append(inputs)
        return terms(inputs, samples, prefix=1)

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
    assert student_of(detector) is detector
    assert student_of(Semi(detector)) is detector
    cfg = dict(
        type="SoftTeacher", detector=dict(type="FasterRCNN", backbone=dict(type="SEWResNet"))
    )
    assert student_config(cfg)["type"] == "FasterRCNN"
    assert student_config(cfg["detector"]) is cfg["detector"]


def branches(batch):
    """What mmdet's multi-branch pipeline gives: labelled images, and others seen twice."""
    for sample in batch["data_samples"]:
        sample.set_metainfo(dict(homography_matrix=np.eye(3, dtype=np.float32)))
    names = ("sup", "unsup_teacher", "unsup_student")
    return {key: {name: value for name in names} for key, value in batch.items()}


def test_soft_teacher_trains_with_the_hook(tmp_path):
    task = TASKS["faster"]
    detector = task.config(time_steps=2)
    init_default_scope("mmdet")
    twin = MODELS.build(ann_of(detector))
    checkpoint = write_checkpoint(twin, tmp_path / "teacher.pth")
    data = [branches(task.batch()) for _ in range(3)]
    model = ConfigDict(
        type="SoftTeacher",
        detector=detector,
        data_preprocessor=dict(
            type="MultiBranchDataPreprocessor", data_preprocessor=detector.data_preprocessor
        ),
        semi_train_cfg=dict(
            freeze_teacher=True,
            sup_weight=1.0,
            unsup_weight=4.0,
            pseudo_label_initial_score_thr=0.5,
            rpn_pseudo_thr=0.9,
            cls_pseudo_thr=0.9,
            reg_pseudo_thr=0.02,
            jitter_times=2,
            jitter_scale=0.06,
            min_pseudo_bbox_wh=(1e-2, 1e-2),
        ),
        semi_test_cfg=dict(predict_on="teacher"),
    )
    runner = Runner(
        model=model,
        cfg=Config(dict(model=model)),
        work_dir=str(tmp_path / "run"),
        train_dataloader=DataLoader(data, collate_fn=lambda batch: batch[0]),
        train_cfg=dict(by_epoch=False, max_iters=3, val_interval=10),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-3)),
        custom_hooks=[
            dict(type="SAKDHook", teacher=dict(checkpoint=checkpoint)),
            dict(type="MeanTeacherHook"),
        ],
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=3)),
        default_scope="mmdet",
        experiment_name="soft_teacher",
    )
    start = {}

    def first(model, *_args):
        if not start:  # level 1 is in the detector, and MeanTeacherHook copied it
            start.update({n: p.clone() for n, p in model.named_parameters()})

    runner.model.register_forward_pre_hook(first)
    logged = []
    runner.model.register_forward_hook(lambda _m, _args, losses: logged.append(losses))
    runner.train()
    for name, value in twin.named_parameters():
        assert torch.equal(start[f"student.{name}"], value), name
        assert torch.equal(start[f"teacher.{name}"], value), name
    assert len(logged) == 3
    terms = {f"sup_loss_sakd_{t}" for t in ("feat", *task.terms)}
    for losses in logged:
        assert terms <= set(losses)
        assert all(losses[t].isfinite() for t in terms)
    saved = torch.load(tmp_path / "run" / "iter_3.pth", weights_only=False)["state_dict"]
    assert {n.partition(".")[0] for n in saved} == {"student", "teacher"}
    assert {n.partition(".")[2] for n in saved} == set(twin.state_dict())
