"""A backbone as a graph of the Neuromorphic Intermediate Representation (Pedersen et al., 2024)."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from ..backbones import ResidualBackbone
from ..files import replacing
from .step_view import StepView

#: Seconds a time step: what NIR's time constants are multiples of.
DT = 1e-4


@torch.no_grad()
def export_nir(
    backbone: ResidualBackbone,
    path: str | os.PathLike[str],
    images: Tensor,
    stage: int | None = None,
    dt: float = DT,
) -> float:
    """Writes one time step of ``backbone`` to ``path``, reads it back and compares.

    The graph has no time of its own: whoever runs it shows it the image T times and averages.

    Args:
        backbone: in eval mode.
        path: of the HDF5 file.
        images: ``[B, C, H, W]``, preprocessed; their size becomes the graph's.
        stage: whose output is given; None: the last of ``out_indices``.
        dt: seconds a time step.

    Returns:
        The largest difference between the firing rates of the file, run by SpikingJelly, and the
        backbone's, over ``backbone.time_steps`` steps.

    Raises:
        ExportError: for what NIR cannot express.
    """
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    stage = backbone.out_indices[-1] if stage is None else stage
    view = StepView(backbone, stage).eval()
    with replacing(path) as temporary:
        export_to_nir(view, images, save_path=temporary, dt=dt)
        rates = run_nir(temporary, images, backbone.time_steps, dt)
    own = backbone(images)[backbone.out_indices.index(stage)]
    return (rates - own).abs().max().item()


@torch.no_grad()
def run_nir(
    path: str | os.PathLike[str], images: Tensor, time_steps: int, dt: float = DT
) -> Tensor:
    """Firing rates ``[B, C, H, W]`` of a file of :func:`export_nir`, by SpikingJelly."""
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    graph: nn.Module = import_from_nir(Path(path), dt=dt).eval()
    state, total = None, 0.0
    for _ in range(time_steps):
        out, state = graph(images, state)
        total = total + out
    return total / time_steps
