#!/usr/bin/env python
"""Speed and memory of the backbone, compared with SpikingJelly's and with its ANN twin.

  python -m benchmarks.speed.backbone                          # R50, T = 4, B = 2, 128x128
  python -m benchmarks.speed.backbone --size 512 512 --batch-size 1 --rounds 7

The work is inference (eval mode; BatchNorm folded on our side), a training step (forward, backward;
no optimizer), and the peak memory of that step. The sides take turns in one process:

  sakd_dense      SEWResNet, features of all four stages
  spikingjelly    its sew_resnet of this depth, the same neuron, weights and input
  ANN, T*B        mmdet's ResNet on T*B images: the same convolutions, ReLU instead of neurons
  ANN, B          the same on B images

The first two must agree to 1e-4. For our folded model the script prints the share of outputs that
do not agree (occasionally a spike flips). Memory is measured in a separate process for each side,
as the peak of a step above the memory that the process holds between two steps.
"""

import argparse
import copy
import statistics
from collections.abc import Callable
from typing import Any

import torch
from mmdet.models.backbones import ResNet
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.model import sew_resnet
from torch import Tensor, nn

from benchmarks.lib.measure import (
    elsewhere,
    in_turns,
    machine,
    peak_mib,
    prepare,
    ratio,
    write_json,
)
from sakd_dense.backbones import SEWResNet
from sakd_dense.neurons import compile_neurons
from sakd_dense.neurons.nodes import DEFAULT_NEURON, build_node

OURS, THEIRS, TWIN, ONE = "sakd_dense", "spikingjelly", "ANN, T*B", "ANN, B"
INFERENCE, TRAINING, PEAK = "inference, ms", "training step, ms", "peak, MiB"
# SpikingJelly's model resets its neurons to rest.
AT_REST = {**DEFAULT_NEURON, "v_init": None}
STAGES = ("layer1", "layer2", "layer3", "layer4")


class SpikingJelly(nn.Module):
    """SpikingJelly's SEW-ResNet without its classifier, from ``[B, 3, H, W]`` to stage rates."""

    def __init__(self, depth: int, time_steps: int) -> None:
        super().__init__()

        def neuron(**_: Any) -> nn.Module:
            return build_node(AT_REST, time_steps)

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
    """Returns a model and its input for every side."""
    torch.manual_seed(0)
    ours = SEWResNet(
        args.depth,
        time_steps=args.time_steps,
        neuron=AT_REST,
        zero_init_residual=False,
        with_cp=args.with_cp,
    )
    compile_neurons(ours)  # in the first round
    ours.init_weights()
    images = torch.randn(args.batch_size, 3, *args.size)
    ours.train()
    with torch.no_grad():  # gives statistics with which every layer spikes
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


def folded(model: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    return copy.deepcopy(model).fuse(), x


def agreement(sides: dict[str, tuple[nn.Module, Tensor]]) -> float:
    """Asserts that both SEW-ResNets agree; returns the share of outputs that folding changes."""
    # The same memory format: other rounding in a convolution flips spikes and changes later layers.
    alike = copy.deepcopy(sides[THEIRS][0]).to(memory_format=torch.channels_last)
    ours, theirs = inference(*sides[OURS])(), inference(alike, sides[THEIRS][1])()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    pairs = zip(ours, inference(*folded(*sides[OURS]))(), strict=True)
    apart = [((a - b).abs() > 1e-4).flatten() for a, b in pairs]
    return torch.cat(apart).float().mean().item()


def peak_of_step(model: nn.Module, x: Tensor) -> float:
    """Returns the peak MiB of a training step, gradients included.

    The peak is counted from the memory that the process holds between two steps.
    """
    step = training(model, x)
    step()
    return peak_mib(step)


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the median and the ratio to ``TWIN`` of each side, for all work."""
    torch.set_num_threads(args.threads)
    sides = build(args)
    names = [name for name in sides if name not in args.without]
    result: dict[str, Any] = dict(vars(args), machine=machine(), folding_changes=agreement(sides))

    def time(work: Callable[..., Callable[[], Any]]) -> dict[str, Any]:
        turns = {name: work(*sides[name]) for name in names}
        if work is inference:
            turns[OURS] = inference(*folded(*sides[OURS]))
        seconds = in_turns(turns, args.rounds)
        return {
            name: dict(
                median=1000 * statistics.median(seconds[name]), ratio=ratio(seconds, name, TWIN)
            )
            for name in names
        }

    result[INFERENCE] = time(inference)
    result[TRAINING] = time(training)
    if args.memory:
        peaks = {name: _peak_elsewhere(args, name) for name in names}
        result[PEAK] = {n: dict(median=peaks[n], ratio=peaks[n] / peaks[TWIN]) for n in names}
    return result


def _peak_elsewhere(args: argparse.Namespace, side: str) -> float:
    given = ["--depth", args.depth, "--time-steps", args.time_steps, "--batch-size"]
    given += [args.batch_size, "--size", *args.size, "--threads", args.threads]
    for flag in ("channels_last", "with_cp"):
        given += [f"--{flag.replace('_', '-')}"] * getattr(args, flag)
    given += ["--memory-of", side]
    return elsewhere(__spec__.name, given)


HEADER = (
    "| depth | T | B | size | work | "
    + " | ".join((OURS, THEIRS, TWIN, ONE))
    + f" | {OURS} / {TWIN} | {OURS} / {THEIRS} |\n"
    + "|---" * 11
    + "|"
)


def rows(result: dict[str, Any]) -> str:
    """Returns the lines of a Markdown table with ``HEADER``."""
    lines = []
    where = f"{result['depth']} | {result['time_steps']} | {result['batch_size']}"
    for work in (INFERENCE, TRAINING, PEAK):
        if work not in result:
            continue
        found = result[work]
        cells = [f"{found[s]['median']:.0f}" if s in found else "" for s in (OURS, THEIRS, TWIN)]
        cells.append(f"{found[ONE]['median']:.0f}" if ONE in found else "")
        mine = found[OURS]["ratio"]
        cells.append(f"{mine:.2f}")
        cells.append(f"{mine / found[THEIRS]['ratio']:.2f}" if THEIRS in found else "")
        size = f"{result['size'][0]}x{result['size'][1]}"
        lines.append(f"| {where} | {size} | {work} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--time-steps", type=int, default=4, metavar="T")
    parser.add_argument("--batch-size", type=int, default=2, metavar="B")
    parser.add_argument("--size", type=int, nargs=2, default=[128, 128], metavar=("H", "W"))
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--with-cp", action="store_true", help="ours checkpoints its blocks")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", nargs="*", default=[], choices=(THEIRS, ONE), help="sides")
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--out", metavar="JSON")
    parser.add_argument("--memory-of", choices=(OURS, THEIRS, TWIN, ONE), help=argparse.SUPPRESS)
    return parser


def main() -> None:
    args = arguments().parse_args()
    prepare()
    if args.memory_of:
        torch.set_num_threads(args.threads)
        sides = build(args)
        pair = sides.pop(args.memory_of)
        sides.clear()
        print(peak_of_step(*pair))
        return
    result = compare(args)
    print(f"{args.threads} threads, torch {torch.__version__}\n\n{HEADER}\n{rows(result)}\n")
    print(f"folding changes {100 * result['folding_changes']:.5f} % of the outputs")
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
