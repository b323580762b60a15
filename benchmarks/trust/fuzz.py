#!/usr/bin/env python
"""Feeds bad configs, checkpoints, event files, annotations and results to everything that reads.

  python -m benchmarks.trust.fuzz --examples 1000 --out benchmarks/results/robust/fuzz.json
  python -m benchmarks.trust.fuzz --examples 200 --cases checkpoint hook

Each try must end in success or in a UserError that names the cause. Any other end is printed with
its input, and the exit status is then 1. A file is given to several readers. This counts as one
try, and as a success if each of them reads the file or refuses it as it should. The cases are in
tests/helpers/fuzzing.py and fuzz_files.py. The tests run a few of each.
"""

import argparse
import logging
import random
import shutil
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from mmengine.logging import MMLogger

from benchmarks.lib.measure import machine, write_json
from tests.helpers.fuzz_values import folder
from tests.helpers.fuzzing import CASES, tried


def fuzz(name: str, examples: int, seed: int) -> dict[str, Any]:
    """Returns the outcomes of ``examples`` tries of one case, and the longest try in seconds."""
    ends: Counter[str] = Counter()
    seconds: list[float] = []
    failures: dict[str, str] = {}

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(CASES[name][0])
    def run(drawn: Any) -> None:
        start = time.monotonic()
        try:
            ends["success" if tried(name, drawn) else "UserError"] += 1
        except Exception as error:
            ends["other"] += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            lines = "".join(traceback.format_exception(error)[-5:])[-1500:]
            failures.setdefault(key, f"{repr(drawn)[:600]}\n{lines}")
        seconds.append(time.monotonic() - start)

    run()
    return dict(case=name, **ends, longest=round(max(seconds, default=0), 2), failures=failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=int, default=1000, help="in all")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    MMLogger.get_current_instance().setLevel(logging.CRITICAL)
    rows = []
    for name in args.cases:
        rows.append(fuzz(name, -(-args.examples // len(args.cases)), args.seed))
        print({k: v for k, v in rows[-1].items() if k != "failures"}, flush=True)
        for what, failure in rows[-1]["failures"].items():
            print(f"--- {what}\n{failure}", flush=True)
    shutil.rmtree(folder(), ignore_errors=True)
    if args.out:
        result = dict(machine=machine(), command=sys.argv, seed=args.seed, cases=rows)
        write_json(args.out, result)
    sys.exit(any(row["failures"] for row in rows))


if __name__ == "__main__":
    main()
