"""Compatibility tests that run each upstream config with a spiking backbone."""

from .cases import Case, find_cases
from .checks import CHECKS, check
from .run import run_cases
from .table import markdown

__all__ = ["CHECKS", "Case", "check", "find_cases", "markdown", "run_cases"]
