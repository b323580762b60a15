"""Spiking models for other runtimes (NIR for neuromorphic hardware, ONNX), and slim files."""

from .inputs import RawModel, first_image
from .nir import export_nir, run_nir
from .onnx import export_onnx, run_onnx
from .publishing import publish, weights_hash
from .step_view import ExportError, StepView

__all__ = [
    "ExportError",
    "RawModel",
    "StepView",
    "export_nir",
    "export_onnx",
    "first_image",
    "publish",
    "run_nir",
    "run_onnx",
    "weights_hash",
]
