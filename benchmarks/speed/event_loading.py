#!/usr/bin/env python
"""Speed of reading event recordings, on a generated DAT file of a hundred million events.

  python -m benchmarks.speed.event_loading --out benchmarks/results/speed/event_loading.json
  python -m benchmarks.speed.event_loading --events 1e7 --recordings sample.raw   # RAW files beside it

The script reads windows at random times, as a shuffled training set does. It times the search and
the events only, then their counting into T bins, and then a complete sample as a detector's
pipeline packs it. The file was just written, so most of it is in the page cache. Last, the script
measures the share of a training step that waits for its batch, without workers, with the student of
a config.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner

from benchmarks.lib.measure import machine, prepare, write_json
from sakd_dense.config.models import with_preprocessor
from sakd_dense.config.scopes import load_config
from sakd_dense.datasets.events import BOX, LoadEvents, open_events, write_boxes
from sakd_dense.datasets.events.dat import DatFile, pack
from sakd_dense.datasets.events.raw import RawFile
from sakd_dense.datasets.events.stream import Events

SIZE = (240, 304)  # Gen1's sensor
PART = 10**7


def write_big(path: Path, events: int, rate: int) -> int:
    """Writes the file part by part and returns its length in microseconds."""
    rng = np.random.default_rng(0)
    header = f"% Version 2\n% Height {SIZE[0]}\n% Width {SIZE[1]}\n".encode() + bytes([0, 8])
    begin = 0
    with open(path, "wb") as file:
        file.write(header)
        for first in range(0, events, PART):
            count = min(PART, events - first)
            length = count * 10**6 // rate
            t = begin + np.sort(rng.integers(0, length, count))
            x, y, p = (rng.integers(0, most, count, np.int32) for most in (SIZE[1], SIZE[0], 2))
            pack(Events(t, x, y, p.astype(np.uint8))).tofile(file)
            begin += length
    return begin


def timed(run: Callable[[int], int], stamps: np.ndarray) -> dict[str, float]:
    """Returns the median milliseconds per window, and the events per second of all windows."""
    times, events = [], 0
    for stamp in stamps:
        start = time.perf_counter()
        events += run(int(stamp))
        times.append(time.perf_counter() - start)
    return dict(ms=1e3 * statistics.median(times), events_per_second=events / sum(times))


def waiting(config: str, root: Path, batch_size: int, iterations: int) -> dict[str, Any]:
    """Returns the median seconds of a step and of its wait, and the wait's share of all time."""
    cfg = load_config(config)
    init_default_scope(cfg.default_scope)
    loader_cfg = cfg.train_dataloader
    loader_cfg.update(batch_size=batch_size, num_workers=0, persistent_workers=False)
    loader_cfg.dataset.update(data_root=str(root))
    model = MODELS.build(with_preprocessor(cfg))
    model.init_weights()
    model.train()
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-4))
    batches = iter(Runner.build_dataloader(loader_cfg, seed=0))
    waits, steps = [], []
    for _ in range(iterations + 1):
        start = time.perf_counter()
        batch = next(batches)
        loaded = time.perf_counter()
        model.train_step(batch, optimizer)
        waits.append(loaded - start)
        steps.append(time.perf_counter() - loaded)
    waits, steps = waits[1:], steps[1:]
    return dict(
        config=config,
        batch_size=batch_size,
        step=statistics.median(steps),
        wait=statistics.median(waits),
        share=sum(waits) / (sum(waits) + sum(steps)),
    )


def measure(args: argparse.Namespace, root: Path) -> dict[str, Any]:
    file = root / "train" / "big_td.dat"
    file.parent.mkdir()
    start = time.perf_counter()
    length = write_big(file, int(args.events), int(args.rate))
    print(f"wrote {file.stat().st_size / 1e9:.2f} GB in {time.perf_counter() - start:.0f} s")
    rng = np.random.default_rng(1)
    stamps = rng.integers(600_000, length, args.windows)
    boxes = np.zeros(len(stamps), BOX)
    boxes["t"], boxes["w"], boxes["h"] = np.sort(stamps), 60, 40
    boxes["x"], boxes["y"] = rng.integers(0, 240, len(stamps)), rng.integers(0, 200, len(stamps))
    write_boxes(file.with_name("big_bbox.npy"), boxes)
    start = time.perf_counter()
    recording = open_events(file)
    assert isinstance(recording, DatFile)
    opened = time.perf_counter() - start
    load = LoadEvents(time_steps=args.time_steps, window=args.window)
    # Windows that are read here are in memory for the measurements below.
    found: dict[str, Any] = dict(
        events=len(recording), rate=int(args.rate), window=args.window, opened_ms=1e3 * opened
    )
    found["search and read"] = timed(lambda t: len(recording.window(t - args.window, t)), stamps)
    found["counted"] = timed(lambda t: int(load.frames(recording, t, SIZE).sum()), stamps)
    cfg = load_config(args.config)
    init_default_scope(cfg.default_scope)
    cfg.train_dataloader.dataset.update(data_root=str(root))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    order = rng.permutation(len(dataset))
    found["sample"] = timed(lambda i: int(dataset[i]["inputs"].sum()), order)
    found["step"] = waiting(args.config, root, args.batch_size, args.iterations)
    return found


def raw(file: str) -> dict[str, Any]:
    """Returns the events per second of the pass that indexes a RAW file, and of decoding it."""
    indexed, decoded, events = [], [], 0
    for _ in range(7):
        recording = RawFile(file)
        start = time.perf_counter()
        recording.window(0, 0)
        middle = time.perf_counter()
        events = len(recording.window(0, 1 << 60))
        indexed.append(middle - start)
        decoded.append(time.perf_counter() - middle)
    rates = [events / statistics.median(times) for times in (indexed, decoded)]
    return dict(file=Path(file).name, events=events, index=rates[0], decode=rates[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=float, default=1e8)
    parser.add_argument("--rate", type=float, default=1e6, help="events a second")
    parser.add_argument("--window", type=int, default=50_000, help="microseconds")
    parser.add_argument("--time-steps", type=int, default=4)
    parser.add_argument("--windows", type=int, default=400)
    parser.add_argument("--config", default="configs/retinanet_sew18_sakd_gen1.py")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recordings", nargs="*", default=[], metavar="RAW")
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args()
    prepare()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, Path(folder))
    found["raw"] = [raw(file) for file in args.recordings]
    for name in ("search and read", "counted", "sample"):
        of = found[name]
        print(f"{name}: {of['ms']:.2f} ms a window, {of['events_per_second'] / 1e6:.1f} M events/s")
    step = found["step"]
    print(
        f"step {step['step']:.2f} s, waiting {step['wait']:.4f} s, {100 * step['share']:.2f} % "
        f"(batch {step['batch_size']}, {args.threads} threads, no workers)"
    )
    for of in found["raw"]:
        print(f"{of['file']}: {of['index'] / 1e6:.1f} and {of['decode'] / 1e6:.1f} M events/s")
    if args.out:
        write_json(args.out, dict(machine=machine(), threads=args.threads, **found))


if __name__ == "__main__":
    main()
