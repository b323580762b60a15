#!/usr/bin/env python
"""Operations of a SEW-ResNet-18 at 224x224, T = 4, compared with published ones.

  python -m benchmarks.plans.energy_published

The published values are those of syops-counter (Chen et al., arXiv:2301.11929), trained on
ImageNet: 0.50 G ACs, 2.75 G MACs, 13.10 mJ; its ANN takes 8.37 mJ. Trained ImageNet weights are not
available here. Ours are random, with BatchNorm's statistics measured on noise. MACs can be
compared, because the layers that see binary input do not depend on weights. ACs cannot, because
they grow with the firing rate.
"""

import torch
from mmengine.model import BaseModule
from mmpretrain.models.backbones import ResNet
from mmpretrain.models.heads import LinearClsHead
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model import sew_resnet
from spikingjelly.activation_based.op_counter import (
    ACCounter,
    DispatchCounterMode,
    MACCounter,
    SynOpCounter,
)
from torch import Tensor, nn

from benchmarks.speed.backbone import AT_REST
from sakd_dense.backbones import SEWResNet
from sakd_dense.energy import CONVENTIONS, cost_of, measure
from sakd_dense.runtime.records import aligned

T = 4


class Classifier(BaseModule):
    """A backbone, and a linear layer of 1000 classes on the mean of its features."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, LinearClsHead(1000, 512)

    def test_step(self, images: Tensor) -> Tensor:
        self.head.fc(self.backbone(images)[-1].mean((2, 3)))
        return images


@torch.no_grad()
def with_statistics(model: nn.Module) -> nn.Module:
    """Makes every layer fire: norms start at one, and their statistics are those of noise."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            module.momentum = None
    for _ in range(2):
        model.train()(torch.randn(4, 3, 224, 224))
    return model.eval()


def spikingjellys(images: Tensor) -> list[str]:
    """Returns the row of SpikingJelly's own network and counters, as they are."""
    net = sew_resnet.sew_resnet18(
        spiking_neuron=neuron.IFNode, surrogate_function=surrogate.ATan(), cnf="ADD"
    )
    functional.set_step_mode(net.eval(), "m")
    counters = [SynOpCounter(), MACCounter(), ACCounter()]
    with DispatchCounterMode(counters), torch.no_grad():
        net(images.repeat(T, 1, 1, 1, 1))
    synops, macs, acs = (c.get_total() * 1e-9 for c in counters)
    return ["SpikingJelly's network and counters, untrained", *_cells(acs, macs, synops)]


def _cells(acs: float, macs: float, synops: float) -> list[str]:
    cost = cost_of()
    mj = macs * cost.e_mac_pj + acs * cost.e_ac_pj
    return [f"{synops:.3f}", f"{acs:.3f}", f"{macs:.3f}", f"{mj:.2f}"]


def main() -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, 224, 224)
    lines = [["", "SynOps G", "ACs G", "MACs G", "mJ"]]
    lines.append(["published, trained (syops-counter)", "", "0.50", "2.75", "13.10"])
    student = Classifier(with_statistics(SEWResNet(18, time_steps=T, neuron=AT_REST))).eval()
    found = measure(student, [images], T).total().operations
    for convention, name in CONVENTIONS.items():
        acs, macs = (getattr(found, f"{convention}_{kind}") * 1e-9 for kind in ("ac", "mac"))
        lines.append([f"ours, random weights, {name}", *_cells(acs, macs, acs)])
    lines.append(spikingjellys(images))
    lines.append(["published, ANN", "", "", "1.82", "8.37"])
    ann = measure(Classifier(ResNet(18)).eval(), [images]).total().operations.dense * 1e-9
    lines.append(["ours, ANN", *_cells(0, ann, 0)])
    print(aligned(lines, left=1))
    rate = measure(student, [images], T).total().spikes.rate
    print(f"firing rate of ours: {rate:.3f}")


if __name__ == "__main__":
    main()
