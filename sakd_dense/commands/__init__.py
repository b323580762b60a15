"""Shared parts of the tools: arguments, preparation of a run and test-time augmentation."""

from .arguments import add_config_arguments, add_time_steps, reported
from .prepare import apply_run_arguments, apply_training_arguments

__all__ = [
    "add_config_arguments",
    "add_time_steps",
    "apply_run_arguments",
    "apply_training_arguments",
    "reported",
]
