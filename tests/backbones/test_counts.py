"""Backbones whose neurons fire integers: their gradients, and where they do not fit."""

import pytest
import torch

from sakd_dense.runtime.errors import UserError
from tests.helpers.residual_backbones import excite, small


@pytest.mark.parametrize("neuron", [dict(type="NILIFNode", D=4), dict(type="ILIFNode", D=4), None])
@pytest.mark.parametrize("connect", ["ADD", "BEFORE"])
@pytest.mark.parametrize("depth", [18, 50])
def test_one_image_at_one_step_has_its_own_gradients(depth, connect, neuron):
    """One image in channels last has no stride of its own, which PyTorch's BatchNorm gets wrong."""
    model = excite(small(depth, connect=connect, neuron=neuron, time_steps=1)).eval().double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.double)

    def gradients(x):
        model.zero_grad()
        sum(o.square().mean() for o in model(x)).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters()}

    both, first, second = gradients(x), gradients(x[:1]), gradients(x[1:])
    for name, grad in both.items():
        mean = (first[name] + second[name]) / 2
        torch.testing.assert_close(mean, grad, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(connect="AND", neuron=dict(type="ILIFNode", D=4)), "connect='AND'.*up to D=4"),
        (dict(connect="IAND", neuron=dict(type="NILIFNode", D=2)), "connect='IAND'.*up to D=2"),
    ],
)
def test_where_counts_do_not_fit_is_named(arguments, says):
    with pytest.raises(UserError, match=says):
        small(18, **arguments)


def test_products_of_counts_of_one_are_products_of_spikes():
    small(18, connect="AND", neuron=dict(type="ILIFNode", D=1))
