"""Which of upstream's configs one word makes spiking: measured, config by config."""

from .cases import Case, find_cases
from .checks import CHECKS, check
from .run import run_cases
from .table import markdown

__all__ = ["CHECKS", "Case", "check", "find_cases", "markdown", "run_cases"]
