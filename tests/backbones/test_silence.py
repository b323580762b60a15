"""SSD's neck behind neurons, of which none may fire at a position."""

import torch
from mmdet.models.necks.ssd_neck import L2Norm
from torch import nn

from sakd_dense.backbones import SEWResNet


def test_ssds_neck_has_a_gradient_where_no_neuron_fires():
    SEWResNet(18, base_channels=8)  # replaces L2Norm's forward
    norm = L2Norm(6)
    nn.init.uniform_(norm.weight, 10.0, 20.0)
    x = torch.rand(2, 6, 4, 4)
    want = norm.weight.detach()[:, None, None] * nn.functional.normalize(x)
    x[0, :, 1, 2] = want[0, :, 1, 2] = 0.0
    x.requires_grad_()
    out = norm(x)
    torch.testing.assert_close(out.detach(), want)
    out.square().sum().backward()
    assert x.grad.isfinite().all() and norm.weight.grad.isfinite().all()
    x.grad = None
    norm(x).sum().backward()
    torch.testing.assert_close(x.grad[0, :, 1, 2], norm.weight.detach())
