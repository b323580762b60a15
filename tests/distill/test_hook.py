"""SAKDHook in whole runs: what it adds, what it must leave alone."""

import copy
import gc
import itertools

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope

from sakd_dense.backbones import SEWResNet
from sakd_dense.config.twins import ann_of
from sakd_dense.distill.teacher import build_teacher
from sakd_dense.transfer import read_state_dict
from tests.helpers.scenes import build, detection_batch, retinanet, write_checkpoint

TERMS = ["feat", "cls", "box"]
NAMES = {f"loss_sakd_{t}" for t in TERMS} | {f"loss_sakd_prefix_{t}" for t in TERMS}


class Watch(Hook):
    """Keeps what a run says of itself."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.logs, self.tensors, self.grads = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.logs.append({k: v.item() for k, v in outputs.items()})
        gc.collect()
        self.tensors.append(
            sum(o.numel() for o in gc.get_objects() if type(o) is torch.Tensor and not o.is_leaf)
        )


def train(runner) -> Watch:
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    return watch


def hook_of(runner):
    return next(h for h in runner.hooks if type(h).__name__ == "SAKDHook")


def weights(runner) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


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
        (dict(prefixes="all"), NAMES),
        (
            dict(prefix_targets="labels"),
            {n for n in NAMES if "prefix" not in n}
            | {"loss_sakd_prefix_label_cls", "loss_sakd_prefix_label_bbox"},
        ),
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
    """Without a share of them the run is that without prefixes; with one it is another."""
    states = []
    for hook in (
        dict(prefixes=None),
        dict(prefixes="image", prefix_share=0.0),
        dict(prefixes="image", prefix_share=1.0),
    ):
        runner = make_runner(hook)
        logs = train(runner).logs
        assert not any("prefix" in name for log in logs for name in log)
        assert runner.model.backbone.clock.reads is None
        states.append(weights(runner))
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    assert not all(torch.equal(v, states[2][k]) for k, v in states[0].items())


@pytest.mark.parametrize(
    "hook",
    [
        dict(prefixes="random"),
        dict(prefixes="image"),
        dict(prefixes=None, features=dict(type="FeatureMSE", adaptor=1)),
    ],
    ids=["random", "image", "adaptors"],
)
def test_resume_equals_an_uninterrupted_run(make_runner, hook):
    schedule = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=8)]
    args = dict(
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-3)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
    )
    whole = make_runner(hook, param_scheduler=copy.deepcopy(schedule), work="whole", **args)
    whole.train()
    resumed = make_runner(
        hook,
        param_scheduler=copy.deepcopy(schedule),
        load_from=f"{whole.work_dir}/epoch_1.pth",
        resume=True,
        **args,
    )
    resumed.train()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, msg=name)
    assert resumed.optim_wrapper.get_lr() == whole.optim_wrapper.get_lr()
    states = [r.optim_wrapper.state_dict()["state"] for r in (whole, resumed)]
    for key, slots in states[0].items():
        torch.testing.assert_close(states[1][key]["exp_avg"], slots["exp_avg"])


def test_amp_on_a_cpu(make_runner):
    wrapper = dict(type="CPUAmpOptimWrapper", optimizer=dict(type="SGD", lr=1e-4))
    runner = make_runner(optim_wrapper=wrapper)
    dtypes = set()
    runner.model.backbone.layer1[0].conv1.register_forward_hook(lambda m, i, o: dtypes.add(o.dtype))
    logs = train(runner).logs
    assert dtypes == {torch.bfloat16}
    assert set(logs[0]) >= NAMES and all(torch.tensor(v).isfinite() for v in logs[-1].values())
    assert all(p.dtype == torch.float32 for p in runner.model.parameters())


def test_gradient_accumulation_steps_once_for_two_batches(make_runner):
    """The gradient is the mean of the two batches', the terms' included."""

    class Batches(Hook):
        def __init__(self):
            self.states = []

        def before_train(self, runner):
            self.states.append(weights(runner))

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.states.append(weights(runner))

    wrapper = dict(optimizer=dict(type="SGD", lr=1e-2), accumulative_counts=2)
    runner, seen = make_runner(optim_wrapper=wrapper), Batches()
    runner.register_hook(seen)
    assert all(set(log) >= NAMES for log in train(runner).logs)
    key = "backbone.conv1.weight"
    moved = [not torch.equal(a[key], b[key]) for a, b in itertools.pairwise(seen.states)]
    assert moved == [False, True, False, True]


def test_ema_averages_the_student_alone(make_runner):
    ema = dict(type="EMAHook", momentum=0.5)
    runner = make_runner(custom_hooks=[ema])
    train(runner)
    state, _ = read_state_dict(f"{runner.work_dir}/epoch_2.pth")
    assert set(state) == set(runner.model.state_dict())
    hook = next(h for h in runner.hooks if type(h).__name__ == "EMAHook")
    assert not any(m._forward_hooks for m in hook.ema_model.module.neck.modules())


def test_no_tensor_outlives_its_iteration(make_runner):
    cfg = dict(type="IterBasedTrainLoop", max_iters=12)
    tensors = train(make_runner(train_cfg=cfg)).tensors
    assert tensors[-1] == tensors[4]


def test_images_without_a_box(make_runner):
    runner = make_runner(train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1))
    seen = []

    class Empty(Hook):
        def before_train(self, runner):
            batch = detection_batch((64, 64), (64, 64))
            for sample in batch["data_samples"]:
                sample.gt_instances = sample.gt_instances[:0]
            seen.append(runner.model.train_step(batch, runner.optim_wrapper))

    runner.register_hook(Empty(), priority="LOWEST")
    runner.train()
    assert set(seen[0]) >= NAMES and all(v.isfinite() for v in seen[0].values())


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


@pytest.mark.parametrize("prefixes", ["random", "image"])
def test_statistics_can_be_measured_at_the_end(make_runner, prefixes):
    """The weights are those of the run without; statistics are measured, once, at the end."""
    runs = [
        make_runner(dict(prefixes=prefixes), custom_hooks=hooks)
        for hooks in ([], [dict(type="ReestimateBatchNormHook", num_batches=2)])
    ]
    for runner in runs:
        train(runner)
    plain, measured = map(weights, runs)
    differ = {k for k in plain if not torch.equal(plain[k], measured[k])}
    assert differ
    assert all("running_" in k or "num_batches_tracked" in k for k in differ)
    norms = [m for m in runs[1].model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {int(m.num_batches_tracked) for m in norms} == {2}
