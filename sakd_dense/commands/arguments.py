"""Command-line arguments that the tools share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from ..backbones.time_steps import check_time_steps
from ..config.types import PREFIXES
from ..neurons.counts import check_counts
from ..runtime.errors import UserError, message_of

CONFIG_HELP = (
    "a config file, or a config of an installed package: "
    "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments CONFIG, ``--cfg-options``, ``--work-dir`` and ``--launcher``.

    Example:
        >>> from argparse import ArgumentParser
        >>> from sakd_dense.commands import add_config_arguments
        >>> parser = ArgumentParser()
        >>> add_config_arguments(parser)
        >>> parser.parse_args(["student.py", "--cfg-options", "train_cfg.max_epochs=2"]).cfg_options
        {'train_cfg.max_epochs': 2}
    """
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config settings, such as train_cfg.max_epochs=2 model.backbone.time_steps=8",
    )
    parser.add_argument(
        "--work-dir",
        help="directory for logs and checkpoints (default: work_dirs/CONFIG_NAME, with -test for "
        "commands that do not train)",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="launcher of the distributed processes (default: none)",
    )
    # torch.distributed.launch passes this argument, torchrun does not.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)


def add_sakd_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that turn an ANN config into a spiking one."""
    parser.add_argument(
        "--teacher-checkpoint",
        metavar="X",
        help="checkpoint of the trained ANN of the same architecture: a file, a URL, "
        "open-mmlab://...",
    )
    add_time_steps(parser, nargs=None, help="number of time steps (default: 4, or 1 with --counts)")
    add_counts(
        parser,
        nargs=None,
        help="neurons fire up to D spikes per time step (default: binary neurons)",
    )
    parser.add_argument(
        "--family",
        choices=PREFIXES,
        help="family of the spiking backbone: SEW (default), or Spiking (default with --counts), "
        "whose blocks fire on the sum of both branches",
    )
    parser.add_argument(
        "--no-transfer",
        action="store_true",
        help="use level 2 alone: do not initialise the student with the teacher's weights",
    )
    parser.add_argument(
        "--source",
        choices=("ann", "snn"),
        default="ann",
        help="source of the initial weights. ann (default): BatchNorm is trained; snn (a distilled "
        "SNN in load_from): norm_eval and frozen_stages of the config are kept",
    )


def add_time_steps(
    parser: argparse.ArgumentParser, nargs: str | None = "+", **options: Any
) -> None:
    """Adds ``--time-steps``, which takes one valid T (``nargs=None``) or several.

    Example:
        >>> from argparse import ArgumentParser
        >>> from sakd_dense.commands import add_time_steps
        >>> parser = ArgumentParser()
        >>> add_time_steps(parser)
        >>> parser.parse_args(["--time-steps", "1", "2", "4"]).time_steps
        [1, 2, 4]
    """
    action = _checked_by(check_time_steps)
    parser.add_argument(
        "--time-steps", type=int, nargs=nargs, metavar="T", action=action, **options
    )


def add_counts(parser: argparse.ArgumentParser, nargs: str | None = "+", **options: Any) -> None:
    """Adds ``--counts``, which takes one valid D (``nargs=None``) or several."""
    action = _checked_by(check_counts)
    parser.add_argument("--counts", type=int, nargs=nargs, metavar="D", action=action, **options)


def file_name(suffix: str, hint: str = "") -> Callable[[str], str]:
    """Returns an argument type for file names that end in ``suffix``; errors end with ``hint``.

    Without this check, a tool that writes one format would also write it under other suffixes.
    """

    def parse(name: str) -> str:
        if Path(name).suffix.lower() != suffix:
            raise argparse.ArgumentTypeError(f"{name!r}: must end in {suffix}{hint}")
        return name

    return parse


def _checked_by(check: Callable[[list[int]], Any]) -> type[argparse.Action]:
    """Returns an argument action that refuses values for which ``check`` raises a UserError."""

    class Checked(argparse.Action):
        def __call__(
            self,
            parser: argparse.ArgumentParser,
            namespace: argparse.Namespace,
            values: Any,
            option_string: str | None = None,
        ) -> None:
            try:
                check(values if isinstance(values, list) else [values])
            except UserError as error:
                parser.error(f"{option_string}: {error}")
            setattr(namespace, self.dest, values)

    return Checked


def reported(main: Callable[..., None]) -> Callable[..., None]:
    """Decorates ``main`` of a tool so that a :class:`UserError` prints only its message.

    The exit status is then 1. Any other exception is a bug and keeps its traceback.

    Example:
        >>> from sakd_dense.commands import reported
        >>> from sakd_dense.runtime import UserError
        >>> @reported
        ... def main(argv=None):
        ...     raise UserError("samples=0: take at least 1")
        >>> main()
        Traceback (most recent call last):
        SystemExit: error: samples=0: take at least 1
    """

    @wraps(main)
    def run(argv: list[str] | None = None) -> None:
        try:
            main(argv)
        except UserError as error:
            sys.exit(f"error: {message_of(error)}")

    return run
