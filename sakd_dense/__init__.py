"""Spiking detectors and segmentors by Self-Architectural Knowledge Distillation (SAKD).

Importing the package registers everything: ``custom_imports = dict(imports=['sakd_dense'])``.
"""

from importlib.util import find_spec

from .config.scopes import mend_config_scopes
from .version import __version__

mend_config_scopes()

from . import backbones, distill, energy, parts, timesteps, transfer  # noqa: E402
from .runtime import amp, heap  # noqa: E402, F401

if find_spec("mmdet") is not None:  # the data sets build on mmdet's; mmseg's users may lack it
    from . import datasets  # noqa: F401

__all__ = ["__version__", "amp", "backbones", "distill", "energy", "parts", "timesteps", "transfer"]
