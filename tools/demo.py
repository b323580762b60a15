#!/usr/bin/env python
"""The whole job on generated digit scenes: `make demo` runs this.

Generates the scenes, trains the ANN teacher, makes one spiking student by level 1 alone and one by
SAKD (both levels) with equal epochs, reads both at T = 1, 2, 4, 8, and ends with a table and
pictures. Started again, it does not redo what is done.
"""

import argparse
import sys

from sakd_dense.backbones.time_steps import check_time_steps
from sakd_dense.demo import TIME_STEPS, Demo


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work-dir", default="work_dirs/demo", help="for models and results (default: %(default)s)"
    )
    parser.add_argument(
        "--time-steps",
        type=int,
        nargs="+",
        default=list(TIME_STEPS),
        metavar="T",
        help="the T to read (default: 1 2 4 8)",
    )
    args = parser.parse_args(argv)
    try:
        check_time_steps(args.time_steps)
    except ValueError as error:
        parser.error(f"--time-steps: {error}")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        Demo(args.work_dir, args.time_steps).run()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the next start goes on from the last checkpoint")


if __name__ == "__main__":
    main()
