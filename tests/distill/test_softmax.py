"""KL, DKD and DIST against plain references, and what they refuse."""

import pytest
import torch

from sakd_dense.distill.responses.softmax import LOSSES, softmax_loss


def logits(seed: int, n: int = 6, k: int = 5) -> torch.Tensor:
    return 3 * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


TARGET = torch.tensor([0, 4, 2, 2, 1, 3])


@pytest.mark.parametrize("tau", [1.0, 4.0])
@pytest.mark.parametrize("name", LOSSES)
def test_zero_when_equal_and_positive_otherwise(name, tau):
    loss = softmax_loss(dict(type=name, tau=tau))
    s, t = logits(0).requires_grad_(), logits(1)
    assert loss(s, s.detach(), TARGET).abs().max() < 1e-5
    value = loss(s, t, TARGET)
    assert value.shape == (6,) and (value > 0).all()
    value.sum().backward()
    assert s.grad.isfinite().all() and s.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_stay_finite(name):
    s = torch.tensor([[80.0, -80.0, 0.0], [0.0, 0.0, 0.0]]).requires_grad_()
    t = torch.tensor([[-80.0, 80.0, 0.0], [0.0, 0.0, 0.0]])
    value = softmax_loss(name)(s, t, torch.tensor([0, 1]))
    value.sum().backward()
    assert value.isfinite().all() and s.grad.isfinite().all()


def test_dkd_by_hand():
    """TCKD of (target, others) and NCKD of the others alone, by their definitions."""
    s, t, tau = logits(2), logits(3), 2.0
    found = softmax_loss(dict(type="dkd", tau=tau, alpha=0.7, beta=3.0))(s, t, TARGET)
    for row in range(len(s)):
        target = TARGET[row]
        others = [k for k in range(5) if k != target]
        p, q = ((x[row] / tau).softmax(0) for x in (t, s))
        pairs = [torch.stack([x[target], x[others].sum()]) for x in (p, q)]
        rests = [(x[row, others] / tau).softmax(0) for x in (t, s)]
        tckd, nckd = ((a * (a / b).log()).sum() for a, b in (pairs, rests))
        expected = tau**2 * (0.7 * tckd + 3.0 * nckd)
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_dkd_is_kl_when_the_others_weigh_what_the_teacher_leaves_them():
    """KL = TCKD + (1 - p_target) NCKD (eq. 6)."""
    s, t = logits(4), logits(5)
    left = 1 - t.softmax(1).gather(1, TARGET[:, None])[:, 0]
    kl = softmax_loss("kl")(s, t, TARGET)
    tckd = softmax_loss(dict(type="dkd", beta=0.0))(s, t, TARGET)
    nckd = softmax_loss(dict(type="dkd", alpha=0.0))(s, t, TARGET)
    torch.testing.assert_close(tckd + left * nckd, kl, rtol=1e-4, atol=1e-5)


def test_dist_by_hand():
    s, t = logits(6), logits(7)
    p, q = t.softmax(1), s.softmax(1)

    def rho(a, b):
        return torch.corrcoef(torch.stack([a, b]))[0, 1]

    rows = torch.stack([1 - rho(a, b) for a, b in zip(q, p, strict=True)])
    classes = torch.stack([1 - rho(a, b) for a, b in zip(q.T, p.T, strict=True)]).mean()
    found = softmax_loss(dict(type="dist", beta=2.0, gamma=0.5))(s, t, TARGET)
    torch.testing.assert_close(found, 2.0 * rows + 0.5 * classes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("name", LOSSES)
def test_few_rows(name, rows):
    value = softmax_loss(name)(logits(8)[:rows], logits(9)[:rows], TARGET[:rows])
    assert value.shape == (rows,) and value.isfinite().all()


@pytest.mark.parametrize(
    "loss,says",
    [
        ("ce", "loss='ce'"),
        (dict(type="kl", beta=2.0), "beta is not an argument of kl"),
        (dict(type="dkd", tau=0.0), "tau=0.0"),
        (dict(tau=1.0), "must be one of"),
    ],
)
def test_bad_arguments_are_named(loss, says):
    with pytest.raises(ValueError, match=says):
        softmax_loss(loss)
