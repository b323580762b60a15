"""Facts that one run stores for the next, beside the kernels that PyTorch has compiled.

PyTorch caches kernels in a folder (``TORCHINDUCTOR_CACHE_DIR``; by default in the system's
temporary folder). Finding out whether a kernel is cached repeats most of the work. PyTorch also
checks in every process which vector instructions run: it starts six processes that import torch,
which takes 12 s on two cores. This module therefore stores marks beside the kernels, so that both
are removed together.
"""

from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ..version import __version__


def folder() -> Path | None:
    """Returns the folder of the marks, or None if PyTorch's cache is disabled."""
    from torch._inductor import config  # takes 1 s; runs that compile nothing skip it
    from torch._inductor.codecache import cache_dir

    if config.force_disable_caches or not config.fx_graph_cache:
        return None
    return Path(cache_dir()) / "sakd_dense"


def _file(fact: str) -> Path | None:
    home = folder()
    # Another version of PyTorch or of this package compiles again.
    name = sha256(f"{fact} {torch.__version__} {__version__}".encode()).hexdigest()[:32]
    return home and home / name


def is_marked(fact: str) -> bool:
    """Returns whether a run on this machine has left a mark for ``fact``."""
    file = _file(fact)
    return file is not None and file.is_file()


def mark(fact: str) -> None:
    """Leaves a mark for ``fact``, if the folder is writable."""
    file = _file(fact)
    if file is not None:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()


@cache
def check_instructions_once() -> None:
    """Patches PyTorch to check each set of vector instructions only once on this CPU.

    The patch calls PyTorch's own check and leaves a mark if the instructions work. Later runs skip
    the check of marked instructions.
    """
    from torch._inductor.cpu_vec_isa import VecISA

    check = getattr(VecISA, "check_build", None)
    if check is None:  # another version of PyTorch, with another check
        return

    def check_build(self: Any, code: str) -> bool:
        fact = f"{self} {_cpu()} {code}"
        if is_marked(fact):
            return True
        works = check(self, code)
        if works:
            mark(fact)
        return works

    VecISA.check_build = check_build


def _cpu() -> str:
    """Returns the model and the flags of this CPU, since machines may share a folder."""
    with suppress(OSError), open("/proc/cpuinfo") as file:
        lines = {line for line in file if line.startswith(("model name", "flags", "Features"))}
        return " ".join(sorted(lines))
    return ""


__all__ = ["check_instructions_once", "folder", "is_marked", "mark"]
