"""Mixed precision on a CPU: mmcv's operators in float32, for as long as a block lasts."""

import pytest
import torch
from mmcv.ops import roi_align
from mmengine.optim import OptimWrapper
from torch import nn
from torch.autograd import Function

from sakd_dense.backbones import SEWResNet
from sakd_dense.distill.hook import SAKDHook
from sakd_dense.runtime.amp import CPUAmpOptimWrapper, autocast, mmcv_in_float32, with_amp
from sakd_dense.runtime.errors import UserError

BOXES = torch.tensor([[0.0, 0.0, 0.0, 6.0, 6.0]])


def wrapper(model: nn.Module) -> CPUAmpOptimWrapper:
    return CPUAmpOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))


def align(x):
    return roi_align(x, BOXES.to(x.dtype), 2)


def operators():
    return {
        kind: (vars(kind).get("forward"), vars(kind).get("backward"), kind._backward_cls)
        for kind in Function.__subclasses__()
        if kind.__module__.startswith("mmcv.ops.")
    }


@pytest.mark.parametrize(
    "use",
    [
        lambda: SAKDHook(teacher=dict(checkpoint="x.pth", dtype="bfloat16")),
        lambda: wrapper(nn.Linear(1, 1)),
        lambda: autocast("cpu", torch.bfloat16).__enter__() and None,
    ],
    ids=["hook", "optimizer", "autocast"],
)
def test_mmcv_is_left_as_it_was(use):
    before = operators()
    use()
    assert operators() == before
    with pytest.raises(RuntimeError, match="BFloat16"):
        align(torch.rand(1, 2, 8, 8).bfloat16())


def test_mmcv_is_put_back_when_a_block_ends_in_an_error():
    before = operators()
    with pytest.raises(ZeroDivisionError), mmcv_in_float32(), mmcv_in_float32():
        assert operators() != before
        raise ZeroDivisionError
    assert operators() == before


def test_backward_after_the_block_is_that_of_the_block():
    x = torch.rand(1, 2, 8, 8)
    grads = []
    for dtype in (torch.float32, torch.bfloat16):
        given = x.clone().to(dtype).requires_grad_()
        with mmcv_in_float32():
            out = align(given)
        assert out.dtype == dtype
        out.float().square().sum().backward()
        assert given.grad.dtype == dtype
        grads.append(given.grad.float())
    torch.testing.assert_close(*grads, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("with_cp", [False, True])
def test_a_training_step_with_a_deformable_convolution(with_cp):
    """A checkpointed block runs it once more in backward, outside of the forward's block."""
    model = SEWResNet(
        50,
        base_channels=8,
        time_steps=2,
        with_cp=with_cp,
        dcn=dict(type="DCNv2", deform_groups=1),
        stage_with_dcn=(False, True, False, False),
    )
    optim = wrapper(model)
    with optim.optim_context(model):
        loss = sum(out.float().square().mean() for out in model(torch.rand(1, 3, 32, 32)))
    optim.backward(loss)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.layer2[0].conv2.weight.grad is not None


@pytest.mark.parametrize(
    "kind", ["OptimWrapper", "mmengine.optim.OptimWrapper", OptimWrapper, None]
)
def test_a_wrapper_by_name_or_by_class(kind):
    given = dict(type=kind, clip_grad=dict(max_norm=1), loss_scale="dynamic")
    if kind is None:
        given.pop("type")
    cfg = with_amp(given)
    if torch.cuda.is_available():
        assert cfg == dict(given, type="AmpOptimWrapper")
    else:
        assert cfg == dict(type="CPUAmpOptimWrapper", clip_grad=dict(max_norm=1))


class OtherWrapper(OptimWrapper):
    pass


@pytest.mark.parametrize("kind", ["OtherWrapper", OtherWrapper])
def test_a_wrapper_without_a_twin_is_named(kind):
    with pytest.raises(UserError, match="optim_wrapper.type='OtherWrapper' has no mixed"):
        with_amp(dict(type=kind))
