"""A spiking model, its T time steps unrolled, as ONNX: what any runtime without neurons can run."""

import copy
import os
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..neurons.dynamics import Dynamics
from ..neurons.layer import SpikingNeuron
from ..runtime.files import replacing
from .step_view import ExportError


@torch.no_grad()
def export_onnx(
    module: nn.Module, path: str | os.PathLike[str], images: Tensor, tolerance: float = 0.01
) -> float:
    """Writes ``module(images)`` to ``path``, runs the file in onnxruntime and compares.

    Args:
        module: a backbone, or a model whose forward gives tensors (lists and tuples of them); in
            eval mode. T is the one it is set to.
        path: of the file.
        images: ``[B, C, H, W]``, preprocessed; their shape becomes the graph's.
        tolerance: the share of outputs that may differ by more than 1e-4, or four times as many as
            differ between the module in float32 and in float64, whichever is more.

    Returns:
        The share of outputs that do. Kernels round differently, and where a potential meets its
        threshold in the last digit a spike flips; what follows sees it, the more the larger the
        image is.

    Raises:
        ExportError: for neurons other than IF, LIF, I-LIF and NI-LIF, and for a file that gives
            something else.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet, export_onnx
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8, time_steps=2).eval()
        >>> images = torch.rand(1, 3, 32, 32)
        >>> share = export_onnx(backbone, "student.onnx", images)  # doctest: +SKIP
    """
    original, module = module, copy.deepcopy(module).eval()
    _unroll(module)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own internals
        expected = flat(module(images))
        torch.onnx.export(
            module,
            (images,),
            str(temporary),
            dynamo=True,
            external_data=False,
            input_names=["images"],
            output_names=[f"output{i}" for i in range(len(expected))],
            verbose=False,
        )
        share = differing(run_onnx(temporary, images), expected)
        if share > tolerance:
            precise = copy.deepcopy(original).eval().double()
            rounding = differing(flat(precise(images.double())), expected)
            if share > 4 * rounding:
                raise ExportError(
                    f"{100 * share:.2f} % of the outputs of {path} in onnxruntime differ from the "
                    f"model's by more than 1e-4, {100 * rounding:.2f} % by rounding alone: nothing "
                    "was written"
                )
    return share


def run_onnx(path: str | os.PathLike[str], images: Tensor) -> list[Tensor]:
    """The outputs of a file of :func:`export_onnx`, by onnxruntime on a CPU.

    Example:
        >>> import torch
        >>> from sakd_dense.export import run_onnx
        >>> images = torch.rand(1, 3, 32, 32)
        >>> outputs = run_onnx("student.onnx", images)  # doctest: +SKIP
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(o) for o in session.run(None, {"images": images.numpy()})]


def differing(outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The share of values that differ by more than 1e-4."""
    pairs = zip(outputs, expected, strict=True)
    count = sum(b.numel() for b in expected)
    return sum(((a - b).abs() > 1e-4).sum().item() for a, b in pairs) / count


def flat(output: object) -> list[Tensor]:
    """Every tensor of nested lists and tuples, in order.

    Example:
        >>> import torch
        >>> from sakd_dense.export.onnx import flat
        >>> len(flat(([torch.ones(1), torch.ones(2)], torch.ones(3))))
        3
    """
    if isinstance(output, Tensor):
        return [output]
    return [t for part in output for t in flat(part)]  # type: ignore[attr-defined]


def _unroll(module: nn.Module) -> None:
    """Neurons as plain arithmetic over t, which an exporter can follow, in place."""
    for name, layer in module.named_modules():
        if isinstance(layer, SpikingNeuron):
            dynamics = Dynamics.of(layer.node)
            if dynamics is None:
                raise ExportError(
                    f"{name}: only IF, LIF, I-LIF and NI-LIF neurons can be exported, not "
                    f"{type(layer.node).__name__}"
                )
            setattr(layer, "forward", _steps(layer, dynamics))  # noqa: B010


def _steps(layer: SpikingNeuron, dynamics: Dynamics) -> Callable[..., Tensor]:
    def forward(
        x: Tensor,
        norm: nn.Module | None = None,
        identity: Tensor | None = None,
        before: bool = False,
    ) -> Tensor:
        x = layer.in_time(x)
        x = x.flatten(0, 1) if x.dim() == 5 else x
        x = x if norm is None else norm(x)
        x = x if identity is None or not before else x + identity
        step = 1.0 if layer.step is None else layer.step.view(-1, 1, 1)
        x = x if layer.step is None else x / step
        spikes, _ = dynamics.potentials(x.unflatten(0, (layer.clock.time_steps, -1)).unbind(0))
        out = torch.cat(spikes)
        out = out if layer.step is None else out * step
        return out if identity is None or before else out + identity

    return forward


__all__ = ["export_onnx", "flat", "run_onnx"]
