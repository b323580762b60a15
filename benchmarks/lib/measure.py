"""Helpers of the benchmarks: sides that take turns, memory of a process, the machine."""

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger

from sakd_dense.guards.heap import keep_freed_memory
from sakd_dense.runtime.files import replacing
from sakd_dense.runtime.records import versions


def prepare() -> None:
    """Keeps freed memory as the tools do, and limits MMEngine's log to warnings."""
    keep_freed_memory()
    MMLogger.get_current_instance().setLevel("WARNING")


def in_turns(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of every side in every round, after one round that warms up."""
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
    """Returns the median of the rounds' ratios, so that a slow round affects both sides."""
    return statistics.median(a / b for a, b in zip(seconds[side], seconds[base], strict=True))


def write_json(path: str | Path, result: Any) -> None:
    """Writes a JSON file, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(result, indent=2, default=str) + "\n")


def elsewhere(module: str, arguments: Iterable[Any]) -> float:
    """Runs ``module`` in a separate process and returns the last number that it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(out.split()[-1])


def live_bytes() -> int:
    """Returns the bytes of every tensor that Python can reach."""
    gc.collect()
    found = {}
    for t in gc.get_objects():
        if type(t) is torch.Tensor:  # oneDNN's tensors have no address
            found[id(t) if t.is_mkldnn else t.data_ptr()] = t.numel() * t.element_size()
    return sum(found.values())


def _status(field: str) -> float:
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) / 1024


def peak_mib(run: Callable[[], Any]) -> float:
    """Returns the peak MiB of this process while ``run`` runs, above what it holds before.

    Requires Linux. Freed memory is first returned to the system, and the peak is reset.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def machine() -> dict[str, Any]:
    """Returns a description of the machine, and the versions of the packages."""
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
