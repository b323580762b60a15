#!/usr/bin/env python
"""Writes an HTML report that shows whether a run was worth it.

  python tools/report.py work_dirs/retinanet_sew18_sakd_bccd
  python tools/report.py RUN_DIR --compare OTHER_RUN_DIR ...

The report shows accuracy against T and against energy, firing rates by layer, losses and sample
images. It reads the results of tools/test.py and tools/energy.py in RUN_DIR or RUN_DIR-test
(sweep.json, energy.json). If a result is missing, the tool measures it first and keeps it in
RUN_DIR-test, beside the report. It writes nothing into RUN_DIR.
"""

import argparse
from pathlib import Path

import _startup  # noqa: F401 - before torch is loaded

from sakd_dense.commands.arguments import add_time_steps, reported
from sakd_dense.report import measure_run, open_run, sample_pictures, write_page


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN_DIR", help="work directory of a student's training run")
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="RUN_DIR",
        help="other runs on the same test set",
    )
    parser.add_argument(
        "--out", metavar="HTML", help="output file (default: RUN_DIR-test/report.html)"
    )
    add_time_steps(
        parser,
        default=[1, 2, 4, 8],
        help="values of T, if the run has not been tested yet (default: 1 2 4 8)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=8,
        help="number of images for the energy, if it has not been measured yet (default: 8)",
    )
    parser.add_argument(
        "--pictures", type=int, default=3, help="number of sample images (default: 3)"
    )
    args = parser.parse_args(argv)
    if args.pictures < 0:
        parser.error(f"--pictures {args.pictures}: must be at least 0")
    return args


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    opened = [open_run(folder) for folder in (args.run, *args.compare)]
    out = Path(args.out or opened[0].results / "report.html")
    runs = [measure_run(run, args.time_steps, args.samples) for run in opened]
    steps = [t for t, _ in runs[0].sweep.rows if t is not None]
    pictures = sample_pictures(runs[0], steps, args.pictures) if args.pictures else []
    write_page(out, runs, pictures)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
