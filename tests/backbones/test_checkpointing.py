"""Residual backbones whose blocks run again in backward (``with_cp=True``): the same results."""

import pytest
import torch

from tests.helpers.residual_backbones import CONNECTS, excite, small


@pytest.mark.parametrize("connect", CONNECTS)
@pytest.mark.parametrize("depth", [18, 50])
def test_checkpointing_changes_nothing_else(depth, connect):
    """Same output, gradient and BatchNorm statistics, even when T changes before backward."""
    more = dict(deep_stem=True, avg_down=True) if depth == 50 else {}
    plain = excite(small(depth, connect=connect, **more))
    checked = small(depth, connect=connect, **more, with_cp=True)
    checked.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    outs = []
    for model in (plain, checked):
        outs.append(model(x))
        model.state.time_steps = 7
        sum(o.square().sum() for o in outs[-1]).backward()
    for a, b in zip(*outs, strict=True):
        assert torch.equal(a, b)
    for (n, a), b in zip(plain.named_parameters(), checked.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=n)
    for (n, a), b in zip(plain.named_buffers(), checked.buffers(), strict=True):
        assert torch.equal(a, b), n
