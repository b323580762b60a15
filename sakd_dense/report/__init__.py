"""The report of a run: one HTML file."""

from .page import write_page
from .run import Run, measure_run, open_run
from .samples import sample_pictures

__all__ = ["Run", "measure_run", "open_run", "sample_pictures", "write_page"]
