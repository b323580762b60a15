"""Learned adaptors before the feature loss: part of the run, of no student."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from sakd_dense.distill.adaptors import KEY, Adaptors, channels_of
from sakd_dense.distill.arguments import LevelTwo
from sakd_dense.distill.terms import Terms
from sakd_dense.loading import load_for_test
from sakd_dense.runtime.errors import UserError
from tests.helpers.processes import run_group
from tests.helpers.scenes import build, retinanet
from tests.helpers.tasks import TASKS

ADAPTED = dict(prefixes=None, features=dict(type="FeatureMSE", weight=2.0, adaptor=3))


def hook_of(runner):
    return next(h for h in runner.hooks if type(h).__name__ == "SAKDHook")


def saved(runner):
    return torch.load(f"{runner.work_dir}/epoch_2.pth", weights_only=False)


def test_they_are_trained_with_the_student_and_in_no_student(make_runner):
    schedule = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=8)]
    hooks = dict(checkpoint=dict(type="CheckpointHook", interval=1))
    plain = make_runner(dict(prefixes=None), default_hooks=hooks)
    plain.train()
    runner = make_runner(ADAPTED, param_scheduler=schedule, default_hooks=hooks)
    runner.train()
    adaptors = hook_of(runner).adaptors
    channels = [f.shape[1] for f in runner.model.backbone(torch.zeros(1, 3, 32, 32))]
    assert [a[0].weight.shape for a in adaptors] == [(c, c, 3, 3) for c in channels]
    fresh = Adaptors(channels, 3, 3).state_dict()
    assert all(not torch.equal(v, fresh[k]) for k, v in adaptors.state_dict().items())
    groups = runner.optim_wrapper.optimizer.param_groups
    assert groups[-1]["params"] == list(adaptors.parameters())
    assert groups[-1]["lr"] == groups[0]["lr"] < groups[0]["initial_lr"]
    checkpoint = saved(runner)
    assert list(checkpoint["state_dict"]) == list(saved(plain)["state_dict"])
    assert list(checkpoint[KEY]) == list(fresh)
    load_for_test(build(retinanet(time_steps=3)), f"{runner.work_dir}/epoch_2.pth")


def test_the_adapted_features_are_compared():
    """Adaptors that give zeros leave the mean square of the teacher's activations."""
    student, teacher = TASKS["fcn"].models()
    channels = channels_of(teacher.backbone)
    adaptors = Adaptors(channels, 1)
    for adaptor in adaptors:
        torch.nn.init.zeros_(adaptor[1].weight)
    features = dict(type="FeatureMSE", weight=2.0)
    terms = Terms(student, teacher, LevelTwo(features, prefixes=None), adaptors=adaptors)
    data = student.data_preprocessor(TASKS["fcn"].batch(), training=True)
    student(**data, mode="loss")
    loss = terms(data["inputs"], data["data_samples"])["loss_sakd_feat"]
    with torch.no_grad():
        squares = [f.square().mean() for f in teacher.backbone(data["inputs"])]
    torch.testing.assert_close(loss.detach(), 2.0 * sum(squares) / len(squares))
    loss.backward()
    assert [f.shape[1] for f in teacher.backbone(data["inputs"])] == channels
    assert all(a[1].bias.grad.any() for a in adaptors)


def test_pooled_features_are_maps_of_one_pixel():
    adaptors, pooled = Adaptors([8], 3), torch.rand(4, 8)
    (adapted,) = adaptors((pooled,))
    assert torch.equal(adapted, adaptors((pooled.view(4, 8, 1, 1),))[0].view(4, 8))


@pytest.mark.parametrize("size", [0, -1, 2, 1.0, True, "3"])
def test_a_kernel_size_is_odd(make_runner, size):
    with pytest.raises(UserError, match=r"adaptor=.*odd kernel size"):
        make_runner(dict(features=dict(type="FeatureMSE", adaptor=size)))


def test_a_run_without_adaptors_is_not_resumed_with_them(make_runner):
    hooks = dict(checkpoint=dict(type="CheckpointHook", interval=1))
    plain = make_runner(dict(prefixes=None), default_hooks=hooks)
    plain.train()
    resumed = make_runner(ADAPTED, load_from=f"{plain.work_dir}/epoch_1.pth", resume=True)
    with pytest.raises(UserError, match="no adaptors"):
        resumed.train()


def test_weights_alone_leave_the_adaptors_fresh(make_runner):
    """``load_from`` without ``resume`` starts another run from a student."""
    hooks = dict(checkpoint=dict(type="CheckpointHook", interval=1))
    plain = make_runner(dict(prefixes=None), default_hooks=hooks)
    plain.train()
    make_runner(ADAPTED, load_from=f"{plain.work_dir}/epoch_1.pth").train()


def gradients(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features, wanted = torch.randn(2, 2, 3, 5, 5, generator=generator)
    adaptors = Adaptors([3], 3)
    (adaptors((features,))[0] - wanted).square().sum().backward()
    return [p.grad for p in adaptors.parameters()]


def write_gradients(folder: Path) -> None:
    dist.init_process_group("gloo")
    torch.save(gradients(dist.get_rank()), folder / f"{dist.get_rank()}.pt")


@pytest.mark.slow
def test_their_gradients_are_the_mean_of_the_processes(tmp_path):
    """DDP wraps the student, not them."""
    run_group(tmp_path, write_gradients, tmp_path)
    alone = [gradients(seed) for seed in (0, 1)]
    for rank in (0, 1):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for first, second, mean in zip(*alone, together, strict=True):
            assert not torch.allclose(first, second)
            torch.testing.assert_close(mean, (first + second) / 2)
