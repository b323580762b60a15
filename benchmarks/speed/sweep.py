#!/usr/bin/env python
"""Time of several T from one backbone pass, as a ratio to one run for each T in the same process.

  python -m benchmarks.speed.sweep configs/retinanet_sew18_sakd_bccd.py SNN.pth --time-steps 1 2 4 8
  python -m benchmarks.speed.sweep configs/retinanet_sew50_sakd_coco.py --size 800 1344 --batch-size 1

Both sides run the model's test_step, so both times include preprocessing, neck, head and
post-processing, and neither includes loading data and metrics. The sides take turns, so that a busy
machine slows both. Without a checkpoint the weights are random: give --size, and take the numbers
with care. The firing rate does not change the time here, but the number of boxes left for NMS does.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from benchmarks.lib.measure import in_turns, machine, prepare, write_json
from sakd_dense.backbones.time_steps import at_time_steps
from sakd_dense.config.models import without_checkpoints
from sakd_dense.config.scopes import load_config
from sakd_dense.firing import SpikeCounter
from sakd_dense.loading.load import load_for_test
from sakd_dense.neurons import compile_neurons
from sakd_dense.timesteps import PrefixReader


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("checkpoint", nargs="?")
    parser.add_argument("--time-steps", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--batches", type=int, default=8, help="batches a round (default: 8)")
    parser.add_argument("--batch-size", type=int, help="default: the config's test_dataloader's")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="noise of this size, no data set"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="JSON")
    return parser.parse_args(argv)


@torch.no_grad()
def separately(model: nn.Module, batches: Sequence[Any], t: int) -> None:
    with at_time_steps(model, t):
        for batch in batches:
            model.test_step(batch)


def in_one_pass(reader: PrefixReader, batches: Sequence[Any]) -> None:
    for batch in batches:
        reader.read(lambda batch=batch: reader.model.test_step(batch))


def in_one_pass_counting(reader: PrefixReader, batches: Sequence[Any]) -> None:
    with SpikeCounter(reader.model).counting():
        in_one_pass(reader, batches)


def noise(scope: str, size: tuple[int, int], batch_size: int) -> dict[str, list]:
    """Returns a batch of noise as a dataloader of ``scope`` yields it."""
    sample_type: type[BaseDataElement]
    if scope == "mmseg":
        from mmseg.structures import SegDataSample

        sample_type = SegDataSample
    else:
        from mmdet.structures import DetDataSample

        sample_type = DetDataSample
    meta = dict(img_id=0, ori_shape=size, img_shape=size, pad_shape=size, scale_factor=(1.0, 1.0))
    return dict(
        inputs=[torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in range(batch_size)],
        data_samples=[sample_type(metainfo=meta) for _ in range(batch_size)],
    )


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Returns ms per image of every side, and the ratio of one pass to the sum of separate runs."""
    torch.set_num_threads(args.threads)
    cfg = load_config(args.config)
    scope = cfg.get("default_scope", "mmdet")
    init_default_scope(scope)
    model = MODELS.build(without_checkpoints(cfg.model)).eval()
    model.init_weights()  # otherwise every score is 0.5, and NMS sees thousands of boxes
    if torch.cuda.is_available():
        model.cuda()
    if args.checkpoint:
        load_for_test(model, args.checkpoint)
    if args.batch_size:
        cfg.test_dataloader.batch_size = args.batch_size
    if args.size:
        size, count = tuple(args.size), cfg.test_dataloader.batch_size
        batches = [noise(scope, size, count) for _ in range(args.batches)]
    else:
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        batches = list(islice(iter(loader), args.batches))
    images = sum(len(batch["inputs"]) for batch in batches)

    reader = PrefixReader(model, args.time_steps)
    sides: dict[str, Callable[[], None]] = {
        f"T={t}": partial(separately, model, batches, t) for t in args.time_steps
    }
    sides["one pass"] = lambda: in_one_pass(reader, batches)
    sides["one pass, firing rate"] = lambda: in_one_pass_counting(reader, batches)
    compile_neurons(model)  # in the first round
    seconds = in_turns(sides, args.rounds)
    ms = {name: 1000 * statistics.median(values) / images for name, values in seconds.items()}
    together = sum(ms[f"T={t}"] for t in args.time_steps)
    return {
        "config": args.config,
        "checkpoint": args.checkpoint,
        "time_steps": args.time_steps,
        "images": images,
        "batch_size": len(batches[0]["inputs"]),
        "rounds": args.rounds,
        "machine": machine(),
        "ms_per_image": ms,
        "separate_ms_per_image": together,
        "ratio": ms["one pass"] / together,
        "ratio_with_firing_rate": ms["one pass, firing rate"] / together,
    }


def table(result: dict[str, Any]) -> str:
    """Returns a Markdown table."""
    lines = ["| run | ms an image |", "|---|---|"]
    lines += [f"| {name} | {value:.1f} |" for name, value in result["ms_per_image"].items()]
    lines += [
        f"| separate runs, summed | {result['separate_ms_per_image']:.1f} |",
        f"| ratio | {result['ratio']:.3f} |",
        f"| ratio, firing rate too | {result['ratio_with_firing_rate']:.3f} |",
    ]
    return "\n".join(lines)


def main() -> None:
    args = parse_args()
    prepare()
    result = compare(args)
    print(f"{args.threads} threads, torch {torch.__version__}\n\n{table(result)}")
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
