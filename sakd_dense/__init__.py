"""Spiking detectors, segmentors, classifiers by Self-Architectural Knowledge Distillation (SAKD).

Importing the package registers all its classes with MMEngine. A config imports it with
``custom_imports = dict(imports=['sakd_dense'])``. The following names are the most used ones; each
is loaded on first use::

    from sakd_dense import SEWResNet, SpikingResNet     # spiking backbones
    from sakd_dense import to_sakd, SAKDHook            # ANN config -> student config; level 2
    from sakd_dense import transfer                     # level 1: ANN weights for the student
    from sakd_dense import sweep, study                 # metrics at every T; operations and energy
    from sakd_dense import publish, export_onnx, export_nir

Everything else is in the subpackages (``sakd_dense.timesteps``, ...). The names in a subpackage's
``__all__`` are public, and CHANGELOG.md lists every change to them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config.scopes import patch_config_scopes
from .version import __version__

patch_config_scopes()

# Modules that register classes.
from . import backbones, datasets, distill, firing, guards, parts, timesteps, transfer  # noqa: E402, F401

if TYPE_CHECKING:
    from .backbones import SEWResNet, SpikingResNet
    from .config import to_sakd
    from .distill import SAKDHook
    from .energy import study
    from .export import export_nir, export_onnx, publish
    from .timesteps import sweep

#: Public name -> its subpackage. `transfer` is both a subpackage and level 1's function.
_ROOM_OF = {
    "SAKDHook": "distill",
    "SEWResNet": "backbones",
    "SpikingResNet": "backbones",
    "export_nir": "export",
    "export_onnx": "export",
    "publish": "export",
    "study": "energy",
    "sweep": "timesteps",
    "to_sakd": "config",
}
_LATER = ("commands", "energy", "export", "report")  # subpackages that register nothing

__all__ = [
    "SAKDHook",
    "SEWResNet",
    "SpikingResNet",
    "__version__",
    "export_nir",
    "export_onnx",
    "publish",
    "study",
    "sweep",
    "to_sakd",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return import_module(f".{name}", __name__)
    if name in _ROOM_OF:
        value = globals()[name] = getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF, *_LATER})
