"""The teacher's frozen neck and head read the student's features."""

import pytest
import torch

from sakd_dense.distill.judge import as_teacher
from sakd_dense.distill.responses import find_response
from sakd_dense.distill.schedule import Weight
from sakd_dense.distill.terms import Terms
from sakd_dense.runtime.errors import UserError
from tests.helpers.tasks import TASKS


def features(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 5, 6, 7, generator=generator) * scale + seed


def test_a_feature_takes_the_teachers_mean_and_deviation():
    rate, activation = features(0, 0.5), features(3, 4.0)
    taken = as_teacher(rate, activation)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(
            statistic(taken, dim=(0, 2, 3)),
            statistic(activation, dim=(0, 2, 3)),
            rtol=5e-3,
            atol=0.0,
        )
    torch.testing.assert_close(as_teacher(activation, activation), activation)


def test_a_silent_channel_has_finite_gradients():
    rate = torch.zeros(2, 5, 6, 7, requires_grad=True)
    as_teacher(rate, features(3, 4.0)).square().sum().backward()
    assert rate.grad.isfinite().all()


@pytest.mark.parametrize("name", TASKS)
def test_it_teaches_the_backbone_alone(name):
    task = TASKS[name]
    student, teacher = task.models()
    torch.manual_seed(11)
    for p in teacher.parameters():
        p.mul_(1 + 0.2 * torch.randn_like(p))
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    response = find_response(student)
    terms = Terms(
        student, teacher, None, response, Weight(1.0, "w"), "teacher", judge=Weight(2.0, "j")
    )
    data = student.data_preprocessor(task.batch(), training=True)
    torch.manual_seed(2)
    student(**data, mode="loss")
    added = terms(data["inputs"], data["data_samples"], (1,), 0.0)
    judged = {n: v for n, v in added.items() if "judge_" in n}
    assert set(judged) == {f"loss_sakd_{p}judge_{n}" for n in task.terms for p in ("", "prefix_")}
    for value in judged.values():
        assert value.dtype == torch.float32 and value.isfinite() and value > 0
    sum(judged.values()).backward()
    taught = {n.split(".")[0] for n, p in student.named_parameters() if p.grad is not None}
    assert taught == {"backbone"}
    assert all(p.grad is None for p in teacher.parameters())
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_it_needs_responses(make_runner):
    with pytest.raises(UserError, match="judge compares responses"):
        make_runner(dict(judge=1.0, responses=None))
