"""Facts that a run keeps for the next one, beside the kernels that PyTorch has compiled.

PyTorch keeps kernels in a folder (``TORCHINDUCTOR_CACHE_DIR``; by default one in the system's
temporary folder). It does not tell what is in it without doing most of the work again, and it
checks in every process, by six others that import torch, which vector instructions run (12 s of
two cores). So marks are left beside the kernels: they go when the kernels go.
"""

from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ..version import __version__


def folder() -> Path | None:
    """Returns the folder of the marks; None: nothing outlives this process."""
    from torch._inductor import config  # takes a second, which runs that compile nothing save
    from torch._inductor.codecache import cache_dir

    if config.force_disable_caches or not config.fx_graph_cache:
        return None
    return Path(cache_dir()) / "sakd_dense"


def _file(fact: str) -> Path | None:
    home = folder()
    # Another version of PyTorch or of this package compiles anew.
    name = sha256(f"{fact} {torch.__version__} {__version__}".encode()).hexdigest()[:32]
    return home and home / name


def is_marked(fact: str) -> bool:
    """Whether a run on this machine has left a mark for ``fact``.

    Example:
        >>> from sakd_dense.runtime.compile_cache import is_marked
        >>> is_marked("no run has found this")
        False
    """
    file = _file(fact)
    return file is not None and file.is_file()


def mark(fact: str) -> None:
    """Leaves a mark for ``fact``; where that cannot be written, none."""
    file = _file(fact)
    if file is not None:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()


@cache
def check_instructions_once() -> None:
    """From now on, vector instructions that a run on this CPU has found to work are not checked.

    PyTorch's check is kept as it is: what it found is remembered, where it was found to work.
    """
    from torch._inductor.cpu_vec_isa import VecISA

    check = getattr(VecISA, "check_build", None)
    if check is None:  # another PyTorch, which checks otherwise
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
    """Returns the model of this CPU, since machines may share a folder."""
    with suppress(OSError), open("/proc/cpuinfo") as file:
        lines = {line for line in file if line.startswith(("model name", "flags", "Features"))}
        return " ".join(sorted(lines))
    return ""


__all__ = ["check_instructions_once", "folder", "is_marked", "mark"]
