"""Set-up of a tool's process: ``import _startup`` comes first among its imports.

OpenMP reads its settings once, when torch is loaded. An idle OpenMP thread spins before it sleeps.
When other processes use the same cores, the spinning slows the threads that still work: a training
step took several times as long (benchmarks/speed/openmp.py). The tools therefore shorten the spin.
"""

import contextlib
import importlib
import io
import os
import sys
from collections.abc import MutableMapping

SPINS = "10000"
#: The OpenMMLab forks print this at each import of a package, four times in total.
NOISE = "Could not import OneDL"


def shorten_spins(environ: MutableMapping[str, str]) -> None:
    """Sets ``GOMP_SPINCOUNT``, unless the user has set how the threads of OpenMP wait."""
    if "OMP_WAIT_POLICY" not in environ:
        environ.setdefault("GOMP_SPINCOUNT", SPINS)


def import_quietly(name: str) -> None:
    """Imports a module and then prints its output, without the lines of ``NOISE``."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            importlib.import_module(name)
    finally:
        lines = printed.getvalue().splitlines(keepends=True)
        sys.stdout.writelines(line for line in lines if not line.startswith(NOISE))


shorten_spins(os.environ)
import_quietly("sakd_dense")
