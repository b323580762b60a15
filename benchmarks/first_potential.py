#!/usr/bin/env python
"""Tests a trained student with other first potentials, on val.

  python benchmarks/first_potential.py bccd sakd-init --seed 0
  python benchmarks/first_potential.py cifar10-small sakd-init --seed 0
  python benchmarks/first_potential.py cifar10-small sakd-init --seed 0 --learn

A layer starts at a share of its threshold. The shares are the same for all layers, or the mean
potential of each layer after T time steps, measured on some training batches (the idea of
MP-Init). BatchNorm keeps its statistics, or they are measured again with the new start. The
student is not trained again, so the table shows how much it depends on the start it learned with.
With --learn the arm is trained instead, with one share for each layer as a weight of the student.
"""

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accuracy import STEPS, config, trained
from measure import write_json
from mmengine.hooks import Hook
from mmengine.runner import Runner, load_checkpoint
from torch import Tensor, nn
from tracks import TRACKS

from sakd_dense.neurons import SpikingNeuron
from sakd_dense.timesteps.table import aligned
from sakd_dense.transfer.batchnorm import reestimate

OUT = Path("benchmarks/results/first_potential")


def layers(model: nn.Module) -> dict[str, SpikingNeuron]:
    return {n: m for n, m in model.named_modules() if isinstance(m, SpikingNeuron)}


@contextmanager
def potentials(model: nn.Module) -> Iterator[dict[str, list[float]]]:
    """Collects each layer's mean potential after the last time step, as shares of its threshold."""
    found: dict[str, list[float]] = {name: [] for name in layers(model)}
    handles = []
    for name, layer in layers(model).items():
        layer.backend = "spikingjelly"  # a compiled pass keeps no potential

        def after(node: nn.Module, _: object, __: object, name: str = name) -> None:
            found[name].append(float(node.v.mean()) / node.v_threshold)

        handles.append(layer.node.register_forward_hook(after))
    yield found
    for handle in handles:
        handle.remove()
    for layer in layers(model).values():
        layer.backend = "auto"


@torch.no_grad()
def measured(model: nn.Module, batches: Iterable[dict]) -> dict[str, float]:
    """Returns each layer's mean potential after T time steps, as a share of its threshold."""
    with potentials(model) as found:
        for batch in batches:
            model.val_step(batch)
    return {name: sum(values) / len(values) for name, values in found.items()}


def first(batches: Iterable[dict], count: int) -> Iterator[dict]:
    for batch, _ in zip(batches, range(count), strict=False):
        yield batch


def start_at(model: nn.Module, shares: float | dict[str, float]) -> None:
    for name, layer in layers(model).items():
        layer.node.v_init = shares if isinstance(shares, float) else shares[name]


def _start(node: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    node.v = (node.start * node.v_threshold).expand_as(inputs[0][0])


class LearnedStartHook(Hook):
    """Makes the share of each layer a weight, after level 1; its learning rate is constant."""

    def before_train(self, runner: Runner) -> None:
        shares = []
        for layer in layers(runner.model).values():
            layer.backend = "spikingjelly"  # the compiled pass takes a number
            layer.node.start = nn.Parameter(torch.tensor(layer.node.v_init))
            layer.node.register_forward_pre_hook(_start)
            shares.append(layer.node.start)
        group = dict(params=shares, weight_decay=0.0)
        runner.optim_wrapper.optimizer.add_param_group(group)


def learned(runner: Runner) -> dict[str, float]:
    """Trains the arm and returns the share that each layer has learned."""
    runner.register_hook(LearnedStartHook())
    runner.train()
    return {name: float(layer.node.start) for name, layer in layers(runner.model).items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("track", choices=TRACKS)
    parser.add_argument("arm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.4, 0.5, 0.6, 0.7])
    parser.add_argument("--batches", type=int, default=10, help="training batches for measurements")
    parser.add_argument("--learn", action="store_true", help="train the arm with learned shares")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cfg = config(args.track, args.arm, args.seed)
    TRACKS[args.track].read(cfg, "val")
    cfg.test_cfg = dict(type="TimeStepTestLoop", time_steps=STEPS)
    name = f"{args.track}_{args.arm}{'-learned' * args.learn}_{args.seed}"
    out, metric = OUT / f"{name}.json", TRACKS[args.track].metric
    if args.learn:
        cfg.work_dir = f"work_dirs/{args.track}/{args.arm}-learned/seed{args.seed}"
        cfg.visualizer.name = name
        runner = Runner.from_cfg(cfg)
        shares, found = learned(runner), runner.test()
        values = {t: found[f"T{t}/{metric}"] for t in STEPS}
        write_json(out, dict(track=args.track, arm=args.arm, learned=shares, **{metric: values}))
        print({n: round(s, 2) for n, s in shares.items()}, values, sep="\n")
        return
    cfg.work_dir, cfg.log_level = f"work_dirs/{args.track}/sweeps", "WARNING"
    cfg.custom_hooks = []
    runner = Runner.from_cfg(cfg)
    model, file = runner.model, trained(args.track, args.arm, args.seed)
    batches = runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    load_checkpoint(model, file)
    own = measured(model, first(batches, args.batches))
    starts = {f"{share}": share for share in args.shares} | {"measured": own}
    content = dict(track=args.track, arm=args.arm, seed=args.seed, measured=own, rows=[])
    digits = TRACKS[args.track].digits
    for name, shares in starts.items():
        for again in (False, True):
            load_checkpoint(model, file)
            start_at(model, shares)
            if again:
                reestimate(model, batches, args.batches)
            found = runner.test()
            values = {t: found[f"T{t}/{metric}"] for t in STEPS}
            content["rows"].append(dict(start=name, reestimated=again, **{metric: values}))
            write_json(out, content)
            print(content["rows"][-1], flush=True)
    lines = [["first potential", "BatchNorm", *(f"T = {t}" for t in STEPS)]]
    for row in content["rows"]:
        cells = [f"{row[metric][t]:.{digits}f}" for t in STEPS]
        lines.append([row["start"], "measured again" if row["reestimated"] else "kept", *cells])
    print(aligned(lines, left=2))


if __name__ == "__main__":
    main()
