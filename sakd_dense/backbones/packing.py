"""Convolutions that convert their weights for oneDNN only once, for inference on CPUs."""

from typing import Any

import torch
from torch import Tensor, nn


class PackedConv2d(nn.Conv2d):
    """Faster ``nn.Conv2d`` for channels-last float32 images on a CPU, without gradients.

    PyTorch converts the weights to oneDNN's own layout in every call. A packed convolution converts
    them in the first call and keeps the result until the weights change, which doubles the memory
    of the weights. On any other input it equals the convolution that it was made from, whose
    parameters it holds.
    """

    @classmethod
    def of(cls, conv: nn.Conv2d) -> "PackedConv2d":
        """Returns a packed convolution with the parameters of ``conv``."""
        packed = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        packed.weight, packed.bias = conv.weight, conv.bias
        return packed.train(conv.training)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._packed: tuple[tuple[int, int], Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:  # oneDNN's tensors can be neither copied nor saved
        return dict(super().__getstate__(), _packed=None)

    def forward(self, x: Tensor) -> Tensor:
        if not self._fits(x):
            return super().forward(x)
        geometry = self.padding, self.stride, self.dilation
        version = self.weight.data_ptr(), self.weight._version
        if self._packed is None or self._packed[0] != version:
            weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight.detach(), *geometry, self.groups, x.shape
            )
            self._packed = version, weight
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._packed[1], self.bias, *geometry, self.groups, "none", [], ""
        )

    def _fits(self, x: Tensor) -> bool:
        needs_grad = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        return (
            not needs_grad
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and x.dim() == 4
            and x.numel() > 0
            and x.is_contiguous(memory_format=torch.channels_last)
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and not torch.is_autocast_enabled("cpu")
            and torch.backends.mkldnn.is_available()
            and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        )


__all__ = ["PackedConv2d"]
