"""Export to ONNX with the T time steps unrolled, so that a runtime needs no neurons."""

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
    """Writes ``module(images)`` to ``path``, runs the file in onnxruntime and compares the outputs.

    Args:
        module: a backbone, or a model whose forward returns tensors (or lists and tuples of them),
            in eval mode. The graph has the T of the module.
        path: path of the ONNX file.
        images: preprocessed images ``[B, C, H, W]``. Their shape becomes that of the graph.
        tolerance: largest share of the outputs that may differ by more than 1e-4. If four times the
            share that differs between the module in float32 and in float64 is larger, that is the
            limit.

    Returns:
        The share of the outputs that differ by more than 1e-4. Kernels round differently. If a
        membrane potential is equal to its threshold up to the last digit, a spike can flip, which
        changes the layers after it. The larger the image, the larger the effect.

    Raises:
        ExportError: a neuron is not IF, LIF, I-LIF or NI-LIF, or too many outputs differ.

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
        warnings.simplefilter("ignore")  # about the exporter's internals
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
    """Runs a file of :func:`export_onnx` in onnxruntime on a CPU and returns its outputs.

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
    """Returns the share of values that differ by more than 1e-4."""
    pairs = zip(outputs, expected, strict=True)
    count = sum(b.numel() for b in expected)
    return sum(((a - b).abs() > 1e-4).sum().item() for a, b in pairs) / count


def flat(output: object) -> list[Tensor]:
    """Returns every tensor of nested lists and tuples, in order."""
    if isinstance(output, Tensor):
        return [output]
    return [t for part in output for t in flat(part)]  # type: ignore[attr-defined]


def _unroll(module: nn.Module) -> None:
    """Replaces neurons by plain arithmetic over t, in place, so that an exporter can trace them."""
    for name, layer in module.named_modules():
        if isinstance(layer, SpikingNeuron):
            if layer.spec.dynamics is None:
                raise ExportError(
                    f"{name}: only IF, LIF, I-LIF and NI-LIF neurons can be exported, not "
                    f"{type(layer.node).__name__}"
                )
            setattr(layer, "forward", _steps(layer, layer.spec.dynamics))  # noqa: B010


def _steps(layer: SpikingNeuron, dynamics: Dynamics) -> Callable[..., Tensor]:
    def fire(x: Sequence[Tensor]) -> Sequence[Tensor]:
        steps = x[0].unflatten(0, (layer.state.time_steps, -1)).unbind(0)
        return [torch.cat(dynamics.potentials(steps)[0])]

    def forward(x: Tensor, norm: nn.Module | None = None, identity: Tensor | None = None) -> Tensor:
        x = layer.in_time(x)
        x = x.flatten(0, 1) if x.dim() == 5 else x
        x = x if norm is None else norm(x)
        value = None if layer.scale is None else layer.scale.view(-1, 1, 1)
        return layer.spec.outputs([x], None if identity is None else [identity], value, fire)[0]

    return forward


__all__ = ["export_onnx", "flat", "run_onnx"]
