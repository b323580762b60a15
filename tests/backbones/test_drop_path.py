"""Stochastic depth: upstream's rates, one draw for all T of an image, nothing in eval."""

import pytest
import torch
from mmpretrain.models.backbones import ResNet as ClsResNet

from sakd_dense.backbones.blocks import ResidualBlock
from tests.helpers.residual_backbones import excite, small


def blocks(model):
    return [m for m in model.modules() if isinstance(m, ResidualBlock)]


@pytest.mark.parametrize("depth", [18, 50])
def test_rates_are_upstreams(depth):
    twin = ClsResNet(depth=depth, drop_path_rate=0.2)
    rates = [
        getattr(m.drop_path, "drop_prob", 0.0) for m in twin.modules() if hasattr(m, "drop_path")
    ]
    ours = [
        getattr(b.drop_path, "drop_prob", 0.0) for b in blocks(small(depth, drop_path_rate=0.2))
    ]
    assert ours == pytest.approx(rates, abs=1e-7) and ours[-1] == pytest.approx(0.2)


@pytest.mark.parametrize("connect", ["ADD", "BEFORE"])
@pytest.mark.parametrize("depth", [18, 50])
def test_in_eval_nothing_is_dropped(depth, connect):
    plain = excite(small(depth, connect=connect)).eval()
    model = small(depth, connect=connect, drop_path_rate=0.5)
    model.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for a, b in zip(plain(x), model.eval()(x), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("depth", [18, 50])
def test_an_image_loses_a_branch_at_every_t_or_keeps_it_scaled(depth):
    model = excite(small(depth, drop_path_rate=0.5, time_steps=3)).train()
    last = blocks(model)[-1]  # keeps half of its images
    seen = {}
    last.register_forward_hook(lambda _m, args, out: seen.update(x=args[0], out=out))
    model(torch.randn(16, 3, 64, 64))
    branch = (seen["out"] - seen["x"]).unflatten(0, (3, 16))
    branch = branch.mul(1e4).round().div(1e4)  # the sum below has scaled spikes of other blocks
    assert branch.unique().tolist() == [0.0, 2.0]  # 1 / 0.5
    fired = branch.flatten(2).any(2)  # [T, B]
    dropped = ~fired.any(0)
    assert 0 < dropped.sum() < 16


@pytest.mark.parametrize("connect", ["ADD", "BEFORE"])
def test_a_recomputed_block_drops_the_same(connect):
    plain = excite(small(18, connect=connect, drop_path_rate=0.5)).train()
    checked = small(18, connect=connect, drop_path_rate=0.5, with_cp=True).train()
    checked.load_state_dict(plain.state_dict())
    x = torch.randn(4, 3, 64, 64)
    for model in (plain, checked):
        torch.manual_seed(1)
        sum(o.square().sum() for o in model(x)).backward()
    for (n, a), b in zip(plain.named_parameters(), checked.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=n)
