"""Functions in processes of their own: one, or several that make a gloo process group.

The processes are forked from the test's, which has imported everything: a start costs nothing.
"""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sakd_dense.runtime.processes import leave_process_group
from tests.helpers.runs import forget_runs


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def fork(log: Path, work: Callable[..., Any], *args: Any, **env: str) -> int:
    """Starts ``work`` in a process, whose output goes to ``log``, and returns the process's id.

    It ends with status 1 where ``work`` raises. A ``SystemExit`` is written as Python does.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.environ.update(env)
        forget_runs()
        work(*args)
        status = 0
    except SystemExit as error:
        print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def fork_group(
    folder: Path, work: Callable[..., Any], *args: Any, processes: int = 2
) -> dict[int, int]:
    """Starts processes with the environment of a launcher and returns their ids by rank.

    What they print goes to ``folder/RANK.txt``.
    """
    env = dict(WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port())
    return {
        rank: fork(folder / f"{rank}.txt", work, *args, RANK=str(rank), LOCAL_RANK=str(rank), **env)
        for rank in range(processes)
    }


def wait(process: int, seconds: float) -> int | None:
    """Returns the exit status of a process, or None if it still runs after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    return None


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def run_group(
    folder: Path, work: Callable[..., Any], *args: Any, processes: int = 2, seconds: float = 300
) -> None:
    """Runs ``work(*args)`` in ``folder``, in every process of a group.

    ``work`` joins the group itself, as a script does; it is left behind it.

    Raises:
        AssertionError: a process failed or did not end; with the end of what it printed.
    """

    def run() -> None:
        os.chdir(folder)
        work(*args)
        leave_process_group()

    left, deadline = fork_group(folder, run, processes=processes), time.monotonic() + seconds
    try:
        while left:
            for rank, process in list(left.items()):
                status = wait(process, 0.1)
                if status is None:
                    assert time.monotonic() < deadline, f"rank {rank} runs for ever"
                    continue
                del left[rank]
                assert status == 0, (folder / f"{rank}.txt").read_text()[-8000:]
    finally:
        for process in left.values():
            kill(process)
