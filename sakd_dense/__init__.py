"""Spiking detectors and segmentors by Self-Architectural Knowledge Distillation (SAKD).

Importing the package registers everything: ``custom_imports = dict(imports=['sakd_dense'])``.
"""

from ._mmengine import mend_config_scopes
from .version import __version__

mend_config_scopes()

from . import amp, backbones, datasets, distill, timesteps, transfer  # noqa: E402

__all__ = ["__version__", "amp", "backbones", "datasets", "distill", "timesteps", "transfer"]
