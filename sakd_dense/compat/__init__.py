"""Tests of upstream's configs with a spiking backbone, config by config."""

from .cases import Case, find_cases
from .checks import CHECKS, check
from .run import run_cases
from .table import markdown

__all__ = ["CHECKS", "Case", "check", "find_cases", "markdown", "run_cases"]
