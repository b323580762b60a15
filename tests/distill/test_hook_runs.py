"""SAKDHook beside the rest of a run: resume, mixed precision, EMA, memory, statistics."""

import copy
import itertools

import pytest
import torch
from mmengine.hooks import Hook

from sakd_dense.transfer import read_state_dict
from tests.helpers.scenes import detection_batch
from tests.helpers.watched_runs import NAMES, train, weights


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
    tensors = train(make_runner(train_cfg=cfg), count_tensors=True).tensors
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
