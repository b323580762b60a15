"""Export to the Neuromorphic Intermediate Representation, NIR (Pedersen et al., 2024)."""

import copy
import os
from pathlib import Path

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from ..backbones import ResidualBackbone
from ..backbones.time_steps import find_spiking_backbone
from ..runtime.files import replacing
from .inputs import RawModel
from .model_view import ModelView
from .step_view import ExportError, StepView

#: Length of a time step in seconds. NIR's time constants are multiples of it.
DT = 1e-4


@torch.no_grad()
def export_nir(
    module: nn.Module,
    path: str | os.PathLike[str],
    images: Tensor,
    stage: int | None = None,
    dt: float = DT,
) -> float:
    """Writes one time step of ``module`` to ``path``, reads the file back and compares the outputs.

    The graph has no time dimension: run it on the image T times and average its outputs.

    Args:
        module: a backbone, or a model of mmseg or mmpretrain, in eval mode.
        path: path of the HDF5 file.
        images: preprocessed images ``[B, C, H, W]``. Their size becomes that of the graph.
        stage: for a backbone, the stage whose output the graph returns; None: the last of
            ``out_indices``.
        dt: length of a time step in seconds.

    Returns:
        The largest absolute difference between the output of ``module`` and that of the file.
        SpikingJelly runs the file for the T of ``module`` and averages over the time steps. Weights
        are folded, written and compared in float64. In float32 a membrane potential is occasionally
        equal to its threshold up to the last digit. A spike then flips, which changes the layers
        after it.

    Raises:
        ExportError: NIR cannot express the module, or the outputs differ by more than 1e-4.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet, export_nir
        >>> neuron = dict(type="IFNode", v_reset=0.0)  # NIR has no soft reset
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8, neuron=neuron).eval()
        >>> images = torch.rand(1, 3, 32, 32)
        >>> difference = export_nir(backbone, "student.nir", images)  # doctest: +SKIP
    """
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    module, images = copy.deepcopy(module).double().eval(), images.double()
    backbone = find_spiking_backbone(module)
    if not isinstance(backbone, ResidualBackbone):
        raise ExportError(
            f"{type(backbone).__name__}: the NIR export supports ResNets only; export to ONNX"
        )
    steps = backbone.time_steps
    if steps != 1 and any(isinstance(m, neuron.ILIFNode) for m in module.modules()):
        raise ExportError(
            "NIR expresses neurons that fire integers only at T=1, without a reset, but the model "
            f"has T={steps}: set time_steps=1"
        )
    if isinstance(module, ResidualBackbone):
        indices = module.out_indices
        stage = indices[-1] if stage is None else stage
        if stage not in indices:
            raise ExportError(
                f"stage={stage}: the backbone returns the stages {indices} (out_indices)"
            )
        view: nn.Module = StepView(module, stage, images)
        expected = module(images)[indices.index(stage)]
        expected = expected.mean(0) if expected.dim() == 5 else expected
    else:
        view = ModelView(module, images)
        expected = RawModel(module)(images)
    with replacing(path) as temporary:
        export_to_nir(view.eval(), images, save_path=temporary, dt=dt)
        output = run_nir(temporary, images, steps, dt)
        difference = (output - expected).abs().max().item()
        if difference > 1e-4:
            raise ExportError(
                f"{path}, read back and run by SpikingJelly, differs from the model by "
                f"{difference:.2g}: nothing was written"
            )
    return difference


@torch.no_grad()
def run_nir(
    path: str | os.PathLike[str], images: Tensor, time_steps: int, dt: float = DT
) -> Tensor:
    """Runs a file of :func:`export_nir` in SpikingJelly and returns its output, averaged over T.

    Example:
        >>> import torch
        >>> from sakd_dense.export import run_nir
        >>> images = torch.rand(1, 3, 32, 32)
        >>> output = run_nir("student.nir", images, time_steps=4)  # doctest: +SKIP
    """
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    graph: nn.Module = import_from_nir(Path(path), dt=dt, dtype=images.dtype).eval()
    state, total = None, 0.0
    for _ in range(time_steps):
        out, state = graph(images, state)
        total = total + out
    return total / time_steps


__all__ = ["DT", "export_nir", "run_nir"]
