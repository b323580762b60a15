"""Checks of many cases, each in a separate process with a time limit; known cases are skipped."""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from mmengine.utils import ProgressBar

from sakd_dense.runtime.errors import UserError
from sakd_dense.runtime.files import replacing
from sakd_dense.runtime.records import versions

from .cases import Case
from .checks import CHECKS, OK, check


@dataclass
class _Job:
    case: Case
    spiking: bool
    process: Any
    pipe: Connection
    started: float
    outcomes: dict[str, str]


def run_cases(
    cases: Iterable[Case],
    out: str | Path,
    jobs: int = 2,
    seconds: float = 300.0,
    **options: Any,
) -> dict[str, Any]:
    """Runs :func:`.checks.check` on each case, and on the ANN of each case that fails.

    The ANN does not run if only SAKD checks fail, because it has no such checks.

    Args:
        cases: cases as :func:`.cases.find_cases` returns them.
        out: a JSON file that is kept up to date. Its cases are not run again if its versions are
            the installed ones and its ``options`` are the same; otherwise they are discarded.
        jobs: number of processes at a time.
        seconds: time limit of a process in seconds.
        options: ``size`` and ``time_steps`` of :func:`.checks.check`.

    Returns:
        ``versions``, ``options`` and ``cases``, as in the file. ``cases`` holds a dict for each
        key of a case: ``name``, ``package``, ``family``, ``configs``, ``swapped`` (the outcomes
        that :func:`.checks.check` returns), ``unswapped`` (those of the ANN, if it was run) and
        ``seconds``.
    """
    cases, out = list(cases), Path(out)
    result = _known(out, options)
    rows = result["cases"]
    for case in cases:
        row = rows.setdefault(case.key, {})
        row.update(name=case.name, package=case.package, family=case.family, configs=case.configs)
        if case.model is None:
            row.update(swapped={"build": case.error}, unswapped={"build": case.error})
    wanted = [(case, True) for case in cases if "swapped" not in rows[case.key]]
    wanted += [(case, False) for case in cases if _doubtful(rows[case.key])]
    bar = ProgressBar(len(wanted), start=bool(wanted))
    running: list[_Job] = []
    while wanted or running:
        while wanted and len(running) < jobs:
            running.append(_start(*wanted.pop(0), options))
        for job in _ended(running, seconds):
            running.remove(job)
            row = rows[job.case.key]
            row["swapped" if job.spiking else "unswapped"] = job.outcomes
            row["seconds"] = round(row.get("seconds", 0.0) + time.monotonic() - job.started, 1)
            if job.spiking and _doubtful(row):
                wanted.append((job.case, False))
                bar.task_num += 1
            _write(out, result)
            bar.update()
    _write(out, result)
    return result


def _doubtful(row: dict[str, Any]) -> bool:
    """Returns whether a check failed that the ANN has not yet run."""
    swapped = row.get("swapped", {})
    needed = [name for name in CHECKS if name not in ("features", "responses")]
    return "unswapped" not in row and any(swapped.get(n, OK) != OK for n in needed if swapped)


def _known(out: Path, options: dict[str, Any]) -> dict[str, Any]:
    empty = dict(versions=versions(), options=options, cases={})
    if not out.is_file():
        return empty
    try:
        known = json.loads(out.read_text())
        same = known["versions"] == empty["versions"] and known["options"] == options
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{out} is not a result file of tools/compat.py ({error}); choose another --out"
        ) from error
    return known if same else empty


def _write(out: Path, result: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


def _start(case: Case, spiking: bool, options: dict[str, Any]) -> _Job:
    # Forked processes share the imports of their parent.
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(case, spiking, options, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Job(case, spiking, process, ours, time.monotonic(), {})


def _run(case: Case, spiking: bool, options: dict[str, Any], pipe: Connection) -> None:
    # Models and upstream's operators print, which would disturb the parent's progress bar.
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(quiet, stream.fileno())
    torch.set_num_threads(1)
    check(case, spiking, on_outcome=lambda name, outcome: pipe.send((name, outcome)), **options)


def _ended(running: list[_Job], seconds: float) -> list[_Job]:
    """Stops the jobs that are over time, and returns all that have ended."""
    ready = wait([job.pipe for job in running], timeout=0.5)
    ended = []
    for job in running:
        late = time.monotonic() - job.started > seconds
        try:
            while job.pipe in ready and job.pipe.poll():
                name, outcome = job.pipe.recv()
                job.outcomes[name] = outcome
        except EOFError:
            job.process.join()
            if job.process.exitcode:
                _interrupted(job, f"the process ended with code {job.process.exitcode}")
            ended.append(job)
            continue
        if late:
            job.process.kill()
            job.process.join()
            _interrupted(job, f"stopped after {seconds:.0f} s")
            ended.append(job)
    return ended


def _interrupted(job: _Job, why: str) -> None:
    for name in CHECKS:
        if job.spiking or name not in ("features", "responses"):
            job.outcomes.setdefault(name, why)
