"""SAKDHook in whole runs: what it adds, what it must leave alone."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.backbones import SEWResNet
from sakd_dense.config.twins import ann_of
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.transfer import read_state_dict
from tests.helpers.scenes import build, retinanet, write_checkpoint
from tests.helpers.watched_runs import NAMES, SECOND_PASS, train, weights


def hook_of(runner):
    return next(h for h in runner.hooks if type(h).__name__ == "SAKDHook")


def test_terms_are_in_the_log_and_finite(make_runner):
    logs = train(make_runner()).logs
    assert len(logs) == 4
    for log in logs:
        assert set(log) >= NAMES
        assert all(torch.tensor(v).isfinite() for v in log.values())
        assert log["loss"] == pytest.approx(sum(v for k, v in log.items() if k.startswith("loss_")))


@pytest.mark.parametrize(
    "hook,names",
    [
        (dict(features=None), {n for n in NAMES if "feat" not in n}),
        (dict(responses=None), {n for n in NAMES if "feat" in n}),
        (dict(responses=dict(box=0)), {n for n in NAMES if "box" not in n}),
        (dict(prefixes=None), {n for n in NAMES if "prefix" not in n}),
        (dict(prefix_weight=0.0), {n for n in NAMES if "prefix" not in n}),
        (dict(prefixes="random"), SECOND_PASS),
        (dict(features=None, responses=None, prefixes=None), set()),
    ],
)
def test_terms_can_be_switched(make_runner, hook, names):
    logs = train(make_runner(hook)).logs
    assert {n for n in logs[-1] if "sakd" in n} == names


def test_weights_scale_terms_and_schedules_move_them(make_runner):
    plain = train(make_runner()).logs
    falling = dict(start=2.0, stop=0.0, begin=0.0, end=0.5)
    args = dict(features=dict(type="FeaturePKD", weight=falling), responses=dict(cls=3.0))
    moved = train(make_runner(args)).logs
    assert moved[0]["loss_sakd_feat"] == pytest.approx(2 * plain[0]["loss_sakd_feat"], rel=1e-5)
    assert moved[0]["loss_sakd_cls"] == pytest.approx(3 * plain[0]["loss_sakd_cls"], rel=1e-5)
    assert "loss_sakd_feat" in moved[1] and "loss_sakd_feat" not in moved[2]


def test_the_teacher_is_untouched_frozen_and_outside_the_student(make_runner, teacher_file):
    runner = make_runner()
    train(runner)
    teacher = hook_of(runner).teacher
    before = build_teacher(ann_of(runner.cfg.model), teacher_file, runner.model).state_dict()
    after = teacher.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(v, before[k]) for k, v in after.items())
    assert not any(m.training for m in teacher.modules())
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())
    assert not any(m is teacher for m in runner.model.modules())
    known = {id(p) for group in runner.optim_wrapper.param_groups for p in group["params"]}
    assert not any(id(p) in known for p in teacher.parameters())


def test_the_checkpoint_is_the_student_alone(make_runner):
    """It loads strictly into the plain detector, and into the same architecture of torchvision."""
    runner = make_runner()
    train(runner)
    state, _ = read_state_dict(f"{runner.work_dir}/epoch_2.pth")
    init_default_scope("mmdet")
    plain = MODELS.build(copy.deepcopy(runner.cfg.model))
    plain.load_state_dict(state, strict=True)
    backbone = SEWResNet(18, base_channels=8)
    inner = {k.removeprefix("backbone."): v for k, v in state.items() if "backbone" in k}
    backbone.load_state_dict(inner, strict=True)


def test_testing_needs_no_teacher(make_runner, tmp_path):
    """Runner.test() calls before_run as well; the teacher's file may be long gone."""
    runner = make_runner(dict(teacher=dict(checkpoint=str(tmp_path / "gone.pth"))))
    runner.call_hook("before_run")
    assert hook_of(runner).teacher is None
    with pytest.raises(FileNotFoundError, match="gone.pth"):
        runner.train()


def test_hooks_are_gone_after_training(make_runner):
    runner = make_runner()
    before = sum(len(m._forward_hooks) for m in runner.model.modules())
    train(runner)
    assert sum(len(m._forward_hooks) for m in runner.model.modules()) == before
    assert "init_weights" not in vars(runner.model)


@pytest.mark.parametrize("transfer", [True, False])
def test_level_1(make_runner, teacher_file, transfer):
    class Start(Hook):
        def before_train(self, runner):
            self.state = weights(runner)

    runner, start = make_runner(dict(transfer=transfer)), Start()
    runner.register_hook(start)
    runner.train()
    source, _ = read_state_dict(teacher_file)
    same = [torch.equal(start.state[k], source[k]) for k in source if k.endswith("conv1.weight")]
    assert all(same) if transfer else not any(same)


def test_load_from_wins_over_level_1(make_runner, tmp_path):
    other = build(retinanet(), seed=5)
    path = write_checkpoint(other, tmp_path / "other.pth")

    class Start(Hook):
        def before_train(self, runner):
            self.state = weights(runner)

    runner, start = make_runner(load_from=path), Start()
    runner.register_hook(start)
    runner.train()
    assert all(torch.equal(v, start.state[k]) for k, v in other.state_dict().items())


def test_images_read_early_take_no_second_pass(make_runner):
    """Features at a prefix are those of a second pass; without them and a share it is no prefix."""
    runs = {}
    for name, hook in dict(
        none=dict(prefixes=None),
        unused=dict(prefixes=dict(type="image", share=0.0), prefix_weight=0.0),
        features=dict(prefixes=dict(type="image", share=0.0)),
        random=dict(prefixes="random"),
        early=dict(prefixes=dict(type="image", share=1.0)),
    ).items():
        runner = make_runner(hook)
        logs = train(runner).logs
        assert runner.model.backbone.state.read_until is None
        runs[name] = logs, weights(runner)
    assert all(torch.equal(v, runs["unused"][1][k]) for k, v in runs["none"][1].items())
    assert not all(torch.equal(v, runs["early"][1][k]) for k, v in runs["features"][1].items())
    first, again = runs["features"][0][0], runs["random"][0][0]
    assert [n for n in first if "prefix" in n] == ["loss_sakd_prefix_feat"]
    assert first["loss_sakd_prefix_feat"] == again["loss_sakd_prefix_feat"]


def test_a_backbone_alone_teaches_features(make_runner, teacher_file, tmp_path):
    state, _ = read_state_dict(teacher_file)
    inner = {k.removeprefix("backbone."): v for k, v in state.items() if "backbone" in k}
    path = tmp_path / "imagenet.pth"
    torch.save(inner, path)
    teacher = dict(checkpoint=str(path))
    with pytest.raises(ValueError, match="responses=None"):
        make_runner(dict(teacher=teacher)).train()
    logs = train(make_runner(dict(teacher=teacher, responses=None))).logs
    assert {n for n in logs[0] if "sakd" in n} == {"loss_sakd_feat", "loss_sakd_prefix_feat"}
