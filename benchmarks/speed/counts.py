#!/usr/bin/env python
"""Cost of a student that fires counts, relative to its ANN on the same images and to binary steps.

  python -m benchmarks.speed.counts                        # R50, B = 2, 128x128
  python -m benchmarks.speed.counts --depth 18 --size 256 256 --rounds 7

The sides take turns in one process: the ANN; a Spiking-ResNet and a SEW-ResNet of counts at 1xD; a
SEW-ResNet of binary neurons at T = D. The script measures inference with BatchNorm folded on the
spiking sides, a training step (forward, backward), and the peak memory of the step. The peak is
measured in a separate process for each side.
"""

import argparse
import copy
import statistics
from typing import Any

import torch
from mmdet.models import ResNet
from torch import Tensor, nn

from benchmarks.lib.measure import elsewhere, in_turns, machine, prepare, ratio, write_json
from benchmarks.speed.backbone import inference, peak_of_step, training
from sakd_dense.backbones import SEWResNet, SpikingResNet
from sakd_dense.neurons import compile_neurons
from sakd_dense.transfer import calibrate

ANN, COUNTS, COUNTS_SEW, BINARY = "ANN", "Spiking 1xD", "SEW 1xD", "SEW Tx1, T = D"


def build(args: argparse.Namespace) -> dict[str, tuple[nn.Module, Tensor]]:
    """Returns a model and its input for every side."""
    torch.manual_seed(0)
    images = torch.randn(args.batch_size, 3, *args.size)
    twin = ResNet(args.depth, norm_eval=False)
    twin.init_weights()
    node: dict[str, Any] = dict(type="NILIFNode", D=args.counts)
    arguments: dict[str, Any] = dict(zero_init_residual=False)
    sides: dict[str, nn.Module] = {
        ANN: twin,
        COUNTS: SpikingResNet(args.depth, time_steps=1, neuron=node, **arguments),
        COUNTS_SEW: SEWResNet(args.depth, time_steps=1, neuron=node, **arguments),
        BINARY: SEWResNet(args.depth, time_steps=args.counts, **arguments),
    }
    for name, model in sides.items():
        model.init_weights()
        model.train()
        if name in (COUNTS, COUNTS_SEW):
            calibrate(model, [(images,)], 1)
    return {name: (model, images) for name, model in sides.items()}


def peak_elsewhere(args: argparse.Namespace, side: str) -> float:
    given = ["--depth", args.depth, "--counts", args.counts, "--batch-size", args.batch_size]
    given += ["--size", *args.size, "--threads", args.threads, "--memory-of", side]
    return elsewhere(__spec__.name, given)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--counts", type=int, default=4, metavar="D")
    parser.add_argument("--batch-size", type=int, default=2, metavar="B")
    parser.add_argument("--size", type=int, nargs=2, default=[128, 128], metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="JSON")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    prepare()
    torch.set_num_threads(args.threads)
    sides = build(args)
    for model, _ in sides.values():
        compile_neurons(model)  # in the first round
    if args.memory_of:
        pair = sides.pop(args.memory_of)
        sides.clear()
        print(peak_of_step(*pair))
        return
    result: dict[str, Any] = dict(vars(args), machine=machine())
    print(f"R{args.depth}, B = {args.batch_size}, {args.size[0]}x{args.size[1]}, D = {args.counts}")
    print("| work | " + " | ".join(sides) + f" | 1xD / {ANN} | 1xD / {BINARY} |")
    print("|---" * (len(sides) + 3) + "|")
    folded = {
        name: (model if name == ANN else copy.deepcopy(model).fuse(), x)
        for name, (model, x) in sides.items()
    }
    for work, of, run in (
        ("inference, ms", folded, inference),
        ("training step, ms", sides, training),
    ):
        seconds = in_turns({name: run(*pair) for name, pair in of.items()}, args.rounds)
        values = {name: 1000 * statistics.median(s) for name, s in seconds.items()}
        ratios = [ratio(seconds, COUNTS, ANN), ratio(seconds, COUNTS, BINARY)]
        result[work] = dict(values=values, ratios=ratios)
        report(work, values, ratios)
    peaks = {name: peak_elsewhere(args, name) for name in sides}
    ratios = [peaks[COUNTS] / peaks[ANN], peaks[COUNTS] / peaks[BINARY]]
    result["peak, MiB"] = dict(values=peaks, ratios=ratios)
    report("peak, MiB", peaks, ratios)
    if args.out:
        write_json(args.out, result)


def report(work: str, values: dict[str, float], ratios: list[float]) -> None:
    cells = [f"{v:.0f}" for v in values.values()] + [f"{r:.2f}" for r in ratios]
    print(f"| {work} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
