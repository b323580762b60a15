"""Examination of a backbone at its construction, by one small forward.

The forward finds whether the backbone joins images and the outputs of neurons, and rejects what
cannot spike.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError
from ..runtime.patching import temporarily

if TYPE_CHECKING:
    from .upstream import UpstreamBackbone

_STEPS = 2
#: More than one: the sum of one image and T images would broadcast and raise no error.
_IMAGES = 2
#: Heights and widths to try, in this order, until the backbone accepts one.
_SIZES = (128, 32, 224, 256)
#: (channels last, images repeated before the first layer), the fastest first.
_WAYS = ((True, False), (True, True), (False, False), (False, True))
_FUNCTIONS = (
    "relu relu_ relu6 leaky_relu leaky_relu_ prelu rrelu elu elu_ selu celu gelu silu mish "
    "hardswish hardtanh softplus"
)
_ACTIVATIONS = {
    function
    for name in _FUNCTIONS.split()
    for owner in (F, torch, Tensor)
    if (function := getattr(owner, name, None)) is not None
}
_PRODUCTS = {
    torch.matmul,
    torch.bmm,
    torch.baddbmm,
    torch.einsum,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.bmm,
}
_ATTENTION = {
    torch._native_multi_head_attention,
    F.scaled_dot_product_attention,
    F.multi_head_attention_forward,
}


class _FoundError(Exception):
    """Error for a call that has no spiking counterpart."""


class _Watch(TorchFunctionMode):
    """Mode that raises for an activation that is called as a function, and for attention."""

    def __init__(self) -> None:
        super().__init__()
        self.inside_neuron = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if not self.inside_neuron:
            if func in _ACTIVATIONS:
                raise _FoundError(
                    f"calls {func.__name__} as a function, {_caller()}, and a neuron can only "
                    "replace a module; use nn.ReLU() or the like"
                )
            # A product with a weight is a linear layer, or a convolution (EfficientNet's).
            of_two = func in _PRODUCTS and not any(isinstance(a, nn.Parameter) for a in args)
            if func in _ATTENTION or of_two:
                raise _FoundError(
                    f"has attention ({func.__name__}, {_caller()}); spiking backbones are "
                    "convolutional"
                )
        return func(*args, **(kwargs or {}))


def examine(backbone: "UpstreamBackbone", channels: int) -> None:
    """Sets ``repeats_images`` and ``channels_last`` of ``backbone`` to values with which it runs.

    Images of zeros run through the backbone at T = 2, in eval mode. Nothing else changes.

    Args:
        backbone: the backbone, with neurons instead of its activations.
        channels: number of channels of the images.

    Raises:
        UserError: the backbone calls an activation as a function, has attention, or fails with all
            sizes of images that are tried.
    """
    failure: Exception | None = None
    evaluated = temporarily(backbone.modules(), training=False)
    with evaluated, temporarily([backbone], time_steps=_STEPS):
        for size in _SIZES:
            image = torch.zeros(_IMAGES, channels, size, size)
            for backbone.channels_last, backbone.repeats_images in _WAYS:
                try:
                    _run(backbone, image)
                except UserError:
                    raise
                except Exception as error:  # raised by upstream: sizes that do not fit, .view
                    failure = error
                else:
                    return
    raise UserError(
        f"{type(backbone).__name__}: a forward on images [{_IMAGES}, {channels}, H, W] with "
        f"H = W in {_SIZES} failed: {type(failure).__name__}: {failure}"
    )


@torch.no_grad()
def _run(backbone: "UpstreamBackbone", image: Tensor) -> None:
    watch = _Watch()
    backbone.lay_out()
    with ExitStack() as stack:
        stack.enter_context(_mark_neurons(backbone, watch))
        stack.enter_context(watch)
        try:
            backbone(image)
        except _FoundError as found:
            raise UserError(f"{type(backbone).__name__} {found}") from None


@contextmanager
def _mark_neurons(backbone: nn.Module, watch: _Watch) -> Iterator[None]:
    def enter(*_: Any) -> None:
        watch.inside_neuron = True

    def leave(*_: Any) -> None:
        watch.inside_neuron = False

    with ExitStack() as stack:
        for module in backbone.modules():
            if isinstance(module, SpikingNeuron):
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave).remove)
        yield


def _caller() -> str:
    """Returns the innermost frame outside of PyTorch and this package, which is upstream's."""
    ours, torchs = Path(__file__), Path(torch.__file__).parent
    for frame in inspect.stack(context=0):
        file = Path(frame.filename)
        if file != ours and torchs not in file.parents:
            return f"{file.name}:{frame.lineno} in {frame.function}"
    return "in PyTorch's own modules"


__all__ = ["examine"]
