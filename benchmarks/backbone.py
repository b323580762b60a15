#!/usr/bin/env python
"""The backbone against SpikingJelly's own, and against its ANN twin.

  python benchmarks/backbone.py                          # R50, T = 4, B = 2, 128x128
  python benchmarks/backbone.py --size 512 512 --batch-size 1 --rounds 7

Work: inference (eval mode), a training step (forward, backward; no optimizer), and the peak memory
of that step. Sides, in turns in one process:

  sakd_dense      SEWResNet, features of all four stages
  spikingjelly    its sew_resnet of this depth, the same neuron, weights and input
  ANN, T*B        mmdet's ResNet on T*B images: the same convolutions, ReLU for neurons
  ANN, B          the same on B images

Outputs of the first two are compared first. Memory: each side in a process of its own, the peak
above what it held before its first step.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from measure import in_turns, machine, peak_mib, ratio
from mmdet.models.backbones import ResNet
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.model import sew_resnet
from torch import Tensor, nn

from sakd_dense.backbones import SEWResNet
from sakd_dense.files import replacing
from sakd_dense.fused import payback
from sakd_dense.neurons import DEFAULT_NEURON, build_node

OURS, THEIRS, TWIN, ONE = "sakd_dense", "spikingjelly", "ANN, T*B", "ANN, B"
STAGES = ("layer1", "layer2", "layer3", "layer4")


class SpikingJelly(nn.Module):
    """SpikingJelly's SEW-ResNet without its classifier; ``[B, 3, H, W]`` -> rates of the stages."""

    def __init__(self, depth: int, time_steps: int) -> None:
        super().__init__()

        def neuron(**_: Any) -> nn.Module:
            return build_node(DEFAULT_NEURON, time_steps)

        self.net = getattr(sew_resnet, f"sew_resnet{depth}")(cnf="ADD", spiking_neuron=neuron)
        functional.set_step_mode(self.net, "m")
        del self.net.fc
        self.time_steps = time_steps

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        functional.reset_net(self.net)
        net = self.net
        x = x.unsqueeze(0).expand(self.time_steps, *x.shape)
        x = net.maxpool(net.sn1(net.bn1(net.conv1(x))))
        outs = []
        for name in STAGES:
            x = getattr(net, name)(x)
            outs.append(x.mean(0))
        return tuple(outs)


def build(args: argparse.Namespace) -> dict[str, tuple[nn.Module, Tensor]]:
    """Every side: a model and its input."""
    torch.manual_seed(0)
    ours = SEWResNet(args.depth, time_steps=args.time_steps, zero_init_residual=False)
    ours.init_weights()
    images = torch.randn(args.batch_size, 3, *args.size)
    ours.train()
    with torch.no_grad():  # statistics with which every layer spikes
        for _ in range(20):
            ours(images)
    theirs = SpikingJelly(args.depth, args.time_steps)
    theirs.net.load_state_dict(ours.state_dict(), strict=False)
    twin = ResNet(args.depth, norm_eval=False)
    twin.init_weights()
    sides = {
        OURS: (ours, images),
        THEIRS: (theirs, images),
        TWIN: (twin, images.repeat(args.time_steps, 1, 1, 1)),
        ONE: (twin, images),
    }
    if args.channels_last:
        sides = {
            name: tuple(x.to(memory_format=torch.channels_last) for x in pair)
            for name, pair in sides.items()
        }
    return sides


def inference(model: nn.Module, x: Tensor) -> Callable[[], Any]:
    def run() -> Any:
        model.eval()
        with torch.no_grad():
            return model(x)

    return run


def training(model: nn.Module, x: Tensor) -> Callable[[], Any]:
    def run() -> None:
        model.train()
        model.zero_grad()
        sum(out.mean() for out in model(x)).backward()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--time-steps", type=int, default=4, metavar="T")
    parser.add_argument("--batch-size", type=int, default=2, metavar="B")
    parser.add_argument("--size", type=int, nargs=2, default=[128, 128], metavar=("H", "W"))
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="JSON")
    parser.add_argument("--memory-of", choices=(OURS, THEIRS, TWIN, ONE), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    payback.elements = 0  # kernels are compiled in the first round
    sides = build(args)
    if args.memory_of:
        model, x = sides[args.memory_of]
        sides.clear()
        step, before = training(model, x), peak_mib()
        for _ in range(3):
            step()
        print(peak_mib() - before)
        return
    for mine, other in zip(inference(*sides[OURS])(), inference(*sides[THEIRS])(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)
    result: dict[str, Any] = dict(vars(args), machine=machine())
    for name, work in (("inference", inference), ("training step", training)):
        seconds = in_turns({side: work(*pair) for side, pair in sides.items()}, args.rounds)
        result[name] = {
            side: dict(
                median=1000 * statistics.median(seconds[side]), ratio=ratio(seconds, side, TWIN)
            )
            for side in sides
        }
    peaks: dict[str, float] = {}
    for side in sides:
        command = [sys.executable, *sys.argv, "--memory-of", side]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[side] = float(out.split()[-1])
    result["peak MiB"] = {s: dict(median=peaks[s], ratio=peaks[s] / peaks[TWIN]) for s in sides}
    print(
        f"SEW-ResNet-{args.depth}, T = {args.time_steps}, B = {args.batch_size}, "
        f"{args.size[0]}x{args.size[1]}, {args.threads} threads, torch {torch.__version__}\n"
    )
    print("| work | " + " | ".join(sides) + f" | {OURS} / {TWIN} | {OURS} / {THEIRS} |")
    print("|---" * (len(sides) + 3) + "|")
    for name in ("inference", "training step", "peak MiB"):
        row = result[name]
        cells = [f"{row[side]['median']:.0f}" for side in sides]
        ours = row[OURS]["ratio"]
        print(
            f"| {name} | "
            + " | ".join(cells)
            + f" | {ours:.2f} | {ours / row[THEIRS]['ratio']:.2f} |"
        )
    if args.out:
        with replacing(args.out) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
