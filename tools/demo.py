#!/usr/bin/env python
"""The whole job on generated digit scenes: `make demo` runs this.

Generates the scenes, trains the ANN teacher, makes one spiking student by level 1 alone and one by
SAKD (both levels) with equal epochs, reads both at T = 1, 2, 4, 8, and ends with a table and
pictures. Started again, it does not redo what is done.
"""

import argparse
import sys

from sakd_dense.commands.arguments import add_time_steps, reported
from sakd_dense.demo import TIME_STEPS, Demo


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work-dir", default="work_dirs/demo", help="for models and results (default: %(default)s)"
    )
    add_time_steps(parser, default=list(TIME_STEPS), help="the T to read (default: 1 2 4 8)")
    return parser.parse_args(argv)


@reported
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        Demo(args.work_dir, args.time_steps).run()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the next start goes on from the last checkpoint")


if __name__ == "__main__":
    main()
