"""What the benchmarks share: sides that take turns, memory of a process, the machine."""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from sakd_dense.timesteps.result import versions


def in_turns(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every side in every round; a first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], side: str, base: str) -> float:
    """The median of a ratio a round: a slow round does not count for one side alone."""
    return statistics.median(a / b for a, b in zip(seconds[side], seconds[base], strict=True))


def live_bytes() -> int:
    """Bytes of every tensor that Python can reach."""
    gc.collect()
    found = {t.data_ptr(): t.nbytes for t in gc.get_objects() if type(t) is torch.Tensor}
    return sum(found.values())


def peak_mib() -> float:
    """The most this process has held, in MiB (Linux; getrusage would count its parent's too)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def machine() -> dict[str, Any]:
    """Where a number was measured."""
    cpu = platform.processor() or platform.machine()
    if os.path.isfile("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        cpu = names[0] if names else cpu
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return dict(
        cpu=cpu, cores=os.cpu_count(), threads=torch.get_num_threads(), device=device, **versions()
    )
