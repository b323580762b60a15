"""Memory savings for backward: spikes kept as bytes, or only a block's input (checkpointing).

A convolution keeps its input for backward, and so does a checkpointed block. Here both inputs are
spikes, or sums of spikes (``connect='ADD'``). With binary neurons a sum is an integer of at most
the number of blocks of a stage, plus one for the shortcut. float32 takes 32 bits for it, but one
byte is enough. Nothing is rounded, and the gradients do not change.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError


class SavedInput:
    """Spikes as the input of modules, which save them for backward as one byte tensor.

    Args:
        x: Spikes or sums of spikes.
        compressed: Whether to save bytes. If False, modules are called without any change.
    """

    def __init__(self, x: Tensor, compressed: bool) -> None:
        self.x = x
        self._packer = _Packer(x) if compressed and torch.is_grad_enabled() else None

    def into(self, module: nn.Module) -> Tensor:
        """Returns ``module(x)``."""
        if self._packer is None:
            return module(self.x)
        with saved_tensors_hooks(self._packer, _unpack):
            return module(self.x)


class _Packer:
    # The graph keeps its hooks: a hook that held x would keep the floats as well.
    def __init__(self, x: Tensor) -> None:
        self._address, self._shape = x.data_ptr(), x.shape
        self._bytes: Tensor | None = None

    def __call__(self, saved: Tensor) -> tuple[Tensor, torch.dtype]:
        if saved.dtype == torch.int64:  # the indices of max-pooling
            return saved.int(), saved.dtype
        # x lives until the call ends, so no other tensor can have its address.
        if saved.data_ptr() != self._address or saved.shape != self._shape:
            return saved, saved.dtype
        if self._bytes is None:
            self._bytes = saved.to(torch.uint8)
        return self._bytes, saved.dtype


def _unpack(packed: tuple[Tensor, torch.dtype]) -> Tensor:
    saved, dtype = packed
    return saved.to(dtype)


class _CheckpointedSpikes:
    """Input spikes of a checkpointed block: ``x`` in the forward, bytes in the recomputation.

    SpikingJelly's ``memopt.checkpoint`` with its ``Uint8SpikeCompressor`` does the same, but its
    forward also runs on unpacked bytes, with two more copies of them as floats.
    """

    def __init__(self, x: Tensor) -> None:
        self._x: Tensor | None = x
        self._dtype, self._requires_grad = x.dtype, x.requires_grad
        self._bytes = x.detach().to(torch.uint8)

    def __call__(self) -> Tensor:
        x, self._x = self._x, None
        if x is None:
            x = self._bytes.to(self._dtype).requires_grad_(self._requires_grad)
        return x


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    # The recomputation of a checkpointed block must not count the same batch twice.
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    before = [(m, m.momentum, m.num_batches_tracked) for m in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count


def checkpointed(
    run: Callable[..., Tensor], x: Tensor, *args: Any, of: nn.Module, compressed: bool
) -> Tensor:
    """Returns ``run(lambda: x, *args)`` and recomputes it in backward instead of keeping it.

    Args:
        run: Function to call with a function that returns ``x``, and with ``args``.
        x: The input.
        *args: Further arguments of ``run``.
        of: Module whose BatchNorms count the batch only once.
        compressed: Whether to save ``x``, which then holds spikes, as bytes.
    """
    return checkpoint(
        run,
        _CheckpointedSpikes(x) if compressed else lambda: x,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _frozen_statistics(of)),
    )


def check_spikes(neurons: Iterable[SpikingNeuron], summands: int) -> None:
    """Checks that a byte holds the sum of ``summands`` outputs of each neuron.

    Raises:
        UserError: The outputs of a neuron are not integers, or the sum exceeds 255.
    """
    for neuron in neurons:
        gradient = getattr(neuron.node, "surrogate_function", None)
        kind = type(neuron.node).__name__
        if not getattr(gradient, "spiking", False):
            raise UserError(
                f"compress_spikes=True: {kind} with {gradient} does not output binary spikes; "
                "leave compress_spikes out, or use another neuron"
            )
        if neuron.step is not None:
            raise UserError(
                f"compress_spikes=True: {kind} outputs counts times a step size, which are not "
                "integers; leave compress_spikes out, or use ILIFNode"
            )
        if neuron.slots * summands > 255:
            raise UserError(
                f"compress_spikes=True: {kind} fires up to D={neuron.slots}, and a stage sums "
                f"{summands} of its outputs: more than a byte holds; leave compress_spikes out, "
                f"or use D={255 // summands} at most"
            )


__all__ = ["SavedInput", "check_spikes", "checkpointed"]
