"""Scripts in processes of their own: one, or several that make a gloo process group."""

import os
import subprocess
import sys
from pathlib import Path

LEAVE = """
from sakd_dense.runtime.processes import leave_process_group
leave_process_group()
"""


def run_script(script: str, *args: str, cwd: Path, processes: int = 1) -> None:
    """Runs the text ``script`` in ``cwd``; with several processes, under ``torchrun``.

    Raises:
        AssertionError: a process failed; with the end of what they wrote to stderr.
    """
    (cwd / "script.py").write_text(script + LEAVE)
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes)]
    # Outside pytest, `tests` may be a package that some wheel installed: scenes go by themselves.
    path = os.pathsep.join([os.getcwd(), str(Path(__file__).parent)])
    done = subprocess.run(
        [*command, "script.py", *args],
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-8000:]
