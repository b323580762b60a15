"""Tools of the benchmarks: sides that take turns, memory of a process, the machine."""

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

from sakd_dense.runtime.files import replacing
from sakd_dense.runtime.heap import keep_freed_memory
from sakd_dense.runtime.records import versions


def prepare() -> None:
    """As the tools run; MMEngine's log says what is wrong, not how weights were initialised."""
    keep_freed_memory()
    MMLogger.get_current_instance().setLevel("WARNING")


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


def write_json(path: str | Path, result: Any) -> None:
    """Whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(result, indent=2, default=str) + "\n")


def elsewhere(file: str, arguments: Iterable[Any]) -> float:
    """The number that ``file`` prints last in a process of its own."""
    command = [sys.executable, file, *map(str, arguments)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(out.split()[-1])


def live_bytes() -> int:
    """Bytes of every tensor that Python can reach."""
    gc.collect()
    found = {}
    for t in gc.get_objects():
        if type(t) is torch.Tensor:  # oneDNN's own have no address
            found[id(t) if t.is_mkldnn else t.data_ptr()] = t.numel() * t.element_size()
    return sum(found.values())


def _status(field: str) -> float:
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) / 1024


def peak_mib(run: Callable[[], Any]) -> float:
    """MiB that this process holds at the most while ``run`` runs, above what it holds before.

    Linux: what was freed before is given back to the system first, and the peak starts anew.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def machine() -> dict[str, Any]:
    """Returns the machine and the versions of a measurement."""
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
