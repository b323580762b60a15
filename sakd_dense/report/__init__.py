"""All pictures: plots, drawn samples, and the report of a run as one HTML file."""

from .figures import save_energy, save_readings
from .page import write_page
from .run import MeasuredRun, Run, measure_run, open_run
from .samples import sample_pictures

__all__ = [
    "MeasuredRun",
    "Run",
    "measure_run",
    "open_run",
    "sample_pictures",
    "save_energy",
    "save_readings",
    "write_page",
]
