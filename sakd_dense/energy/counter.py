"""Operation counts of every layer of a model, by SpikingJelly's rules, under both conventions."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import torch
from mmcv.cnn.bricks import HSigmoid
from spikingjelly.activation_based.op_counter import (
    BaseCounter,
    DispatchCounterMode,
    MACCounter,
    SynOpCounter,
    is_binary_tensor,
)
from torch import Tensor, nn

from ..backbones import SpikingBackbone
from ..neurons.layer import SpikingNeuron
from ..neurons.spike_values import SpikeValueTracker

aten = torch.ops.aten
#: Position of the input among the arguments of a counted operation; the weight comes next.
_INPUT = {
    aten.convolution.default: 0,
    aten.mm.default: 0,
    aten.bmm.default: 0,
    aten.addmm.default: 1,
    aten.baddbmm.default: 1,
}
#: The operators of ``F.scaled_dot_product_attention``.
_KERNELS = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
_ATTENTION = tuple(getattr(aten, f"_scaled_dot_product_{name}").default for name in _KERNELS)


@dataclass
class Operations:
    """Operations of one layer, or of several layers, summed over all images and time steps.

    Attributes:
        dense: MACs if the layer multiplied at every time step.
        strict_mac, strict_ac, count_mac, count_ac: MACs and ACs under each convention, see
            :mod:`sakd_dense.energy.conventions`.

    Example:
        >>> from sakd_dense.energy import Operations
        >>> convolution = Operations(dense=4e9, strict_mac=4e9, count_ac=1e9)
        >>> f"{convolution.millijoule('strict', 4.6, 0.9):.1f}"
        '18.4'
        >>> f"{convolution.millijoule('count', 4.6, 0.9):.1f}"
        '0.9'
    """

    dense: float = 0
    strict_mac: float = 0
    strict_ac: float = 0
    count_mac: float = 0
    count_ac: float = 0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __truediv__(self, images: int) -> "Operations":
        return Operations(*(getattr(self, f.name) / images for f in fields(self)))

    def millijoule(self, convention: str, e_mac: float, e_ac: float) -> float:
        """Returns the energy in mJ under ``convention``; costs in pJ per MAC and per AC."""
        macs = getattr(self, f"{convention}_mac")
        return (macs * e_mac + getattr(self, f"{convention}_ac") * e_ac) * 1e-9


class LayerCounter(BaseCounter):
    """A counter for SpikingJelly's ``DispatchCounterMode`` that groups operations by layer.

    An operation belongs to the innermost module that runs it. A layer in a spiking part of the
    model (a part with neurons) accumulates if its input consists of spikes. The layers of an ANN
    neck or head multiply, and so does the layer that reads the image. SpikingJelly's rules cover
    both cases. This class adds sums of spikes (an integer n counts as n binary inputs), spikes that
    have a value (:mod:`sakd_dense.neurons.spike_values`), attention as one operation, and mmcv's
    deformable convolution, which PyTorch does not see.

    Args:
        model: the model whose named modules become the layers.

    Attributes:
        layers: :class:`Operations` by module name, in the order of the first calls.

    Example:
        >>> import torch
        >>> from sakd_dense import SEWResNet
        >>> from sakd_dense.energy import LayerCounter
        >>> backbone = SEWResNet(18, base_channels=8, stem_channels=8, time_steps=2).eval()
        >>> counter = LayerCounter(backbone)
        >>> with torch.no_grad(), counter.counting():
        ...     _ = backbone(torch.rand(1, 3, 64, 64))
        >>> counter.layers["conv1"].strict_ac, len(counter.layers)
        (0, 20)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._macs, self._synops = MACCounter().rules, SynOpCounter().rules
        self._spike_values = SpikeValueTracker(model)
        self.rules = {func: self._none for func in (*_INPUT, *_ATTENTION)}
        self._names = {m: n for n, m in model.named_modules()}
        self._spiking = {m for p in spiking_parts(model) for m in p.modules()}
        self._first = {_first_convolution(b): b for b in _backbones(model)}
        self._model = model
        self._frames: set[nn.Module] = set()
        self.layers: dict[str, Operations] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts the operations of the model inside the block."""
        fast = torch.backends.mha.get_fastpath_enabled()
        with ExitStack() as stack:
            for module in self._names:
                if type(module).__name__ in _DEFORMABLE:
                    stack.callback(module.register_forward_hook(self._deformable).remove)
                if isinstance(module, SpikingBackbone):
                    stack.callback(module.register_forward_pre_hook(self._sees).remove)
            stack.enter_context(self._spike_values.watching())
            # The fast path is one fused operator, which hides its operations.
            torch.backends.mha.set_fastpath_enabled(False)
            stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
            stack.enter_context(DispatchCounterMode([self]))
            yield

    def count(
        self,
        func: Any,
        args: tuple,
        kwargs: dict,
        out: Any,
        active_modules: set[nn.Module] | None = None,
        parent_names: set[str] | None = None,
    ) -> int:
        """Adds one operation to its layer and returns its dense MACs."""
        layer = max(
            (m for m in active_modules or () if m in self._names),
            key=lambda m: len(self._names[m]),
            default=self._model,
        )
        if func in _ATTENTION:
            operations = _dense(_attention(*args[:3]))
        else:
            operations = self._of(layer, func, args, kwargs, out)
        self._add(layer, operations)
        return int(operations.dense)

    def _of(self, layer: nn.Module, func: Any, args: tuple, kwargs: dict, out: Any) -> Operations:
        at = _INPUT[func]
        # SpikingJelly's rules read the values: 0.5 stands for any that is neither 0 nor 1.
        whole = [_half(a) if i in (at, at + 1) else a for i, a in enumerate(args)]
        operations = _dense(self._macs[func](tuple(whole), kwargs, out))
        value = self._spike_values.of(args[at])
        x = args[at] if value is None else value.spikes(args[at])
        if layer not in self._spiking or self._is_image(layer) or not _is_count(x):
            return operations
        accumulates = sum(
            self._synops[func](_with(args, at, plane), kwargs, out) for plane in _planes(x)
        )
        operations.count_mac, operations.count_ac = 0, accumulates
        if is_binary_tensor(x):
            operations.strict_mac, operations.strict_ac = 0, accumulates
        return operations

    def _is_image(self, layer: nn.Module) -> bool:
        return layer in self._first and self._first[layer] not in self._frames

    def _sees(self, backbone: nn.Module, args: tuple[Tensor, ...]) -> None:
        # Event frames are counts of events. An image never is, not even with whole numbers.
        (self._frames.add if args[0].dim() == 5 else self._frames.discard)(backbone)

    def _deformable(self, module: nn.Module, _args: Any, out: Tensor) -> None:
        # It samples between pixels, so it does not multiply spikes.
        kernel = module.get_parameter("weight")[0].numel()  # of one group
        self._add(module, _dense(out.numel() * kernel))

    def _add(self, layer: nn.Module, operations: Operations) -> None:
        name = self._names[layer]
        self.layers[name] = self.layers.get(name, Operations()) + operations

    @staticmethod
    def _none(*_args: Any) -> int:
        return 0


_GATES = (nn.Sigmoid, nn.Hardsigmoid, nn.Softmax, HSigmoid)
_DEFORMABLE = (
    "DeformConv2d",
    "DeformConv2dPack",
    "ModulatedDeformConv2d",
    "ModulatedDeformConv2dPack",
)


def spiking_parts(model: nn.Module) -> list[nn.Module]:
    """Returns the children of ``model`` (backbone, neck, head ...) that contain neurons."""
    children = list(model.children()) if not isinstance(model, SpikingBackbone) else [model]
    return [c for c in children if any(isinstance(m, SpikingNeuron) for m in c.modules())]


def gates(model: nn.Module) -> list[str]:
    """Returns the names of the modules in spiking parts whose outputs multiply spikes."""
    inside = {m for part in spiking_parts(model) for m in part.modules()}
    return [n for n, m in model.named_modules() if m in inside and isinstance(m, _GATES)]


def _backbones(model: nn.Module) -> list[SpikingBackbone]:
    return [m for m in model.modules() if isinstance(m, SpikingBackbone)]


def _first_convolution(backbone: nn.Module) -> nn.Module:
    return next(m for m in backbone.modules() if isinstance(m, nn.Conv2d))


def _dense(macs: float) -> Operations:
    return Operations(dense=macs, strict_mac=macs, count_mac=macs)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> int:
    return prod(query.shape) * key.shape[-2] + prod(query.shape[:-1]) * prod(value.shape[-2:])


def _half(x: Tensor) -> Tensor:
    return x.new_full((), 0.5).expand(x.shape) if x.is_floating_point() else x


def _with(args: tuple, at: int, x: Tensor) -> tuple:
    # A weight of zeros and ones does not consist of spikes either.
    return (*args[:at], x, _half(args[at + 1]), *args[at + 2 :])


def _is_count(x: Tensor) -> bool:
    return bool((x.ge(0) & x.eq(x.round())).all())


def _planes(x: Tensor) -> Iterator[Tensor]:
    """Yields binary tensors that sum to ``x``: a whole number n counts as n spikes."""
    for n in range(int(x.max()) if x.numel() else 0):
        yield x.gt(n).to(x.dtype)


__all__ = ["LayerCounter", "Operations", "gates", "spiking_parts"]
