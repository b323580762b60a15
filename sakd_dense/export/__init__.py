"""Export of spiking models to NIR (for neuromorphic hardware), to ONNX, and as slim files."""

from .inputs import RawModel, first_image
from .nir import export_nir, run_nir
from .onnx import export_onnx, run_onnx
from .publishing import publish, weights_hash
from .slots import OverSlots, Slots, unroll
from .step_view import ExportError, StepView

__all__ = [
    "ExportError",
    "OverSlots",
    "RawModel",
    "Slots",
    "StepView",
    "export_nir",
    "export_onnx",
    "first_image",
    "publish",
    "run_nir",
    "run_onnx",
    "unroll",
    "weights_hash",
]
