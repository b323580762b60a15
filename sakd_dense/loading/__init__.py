"""Models and runners of a config, with a checkpoint loaded strictly."""

from .load import build_for_test, load_for_test

__all__ = ["build_for_test", "load_for_test"]
