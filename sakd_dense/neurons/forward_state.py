"""Time of a forward: the state that its neurons share, and the firing rate of a sequence."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .sequences import channels_last


class ForwardState:
    """State that all neurons of a backbone share during a forward.

    Attributes:
        time_steps: number of time steps T.
        compiled: whether neurons with ``backend='auto'`` run compiled; see
            :func:`.compile_hook.compile_neurons`. Default: False.
        images: batch size B if the layers before the first neurons run once for all T > 1 steps.
            The first neurons then receive ``[B, C, H, W]`` and repeat it. If None, all neurons
            receive T steps.
        saving: what the compiled pass would have saved in all forwards so far, in elements of 5 ns
            (:func:`.compile_hook.saving`).
        read_until: function (B, T) -> ``[B]`` that returns the time step up to which each image is
            read. If None, each image is read up to T.

    Example:
        >>> import torch
        >>> from sakd_dense.neurons import ForwardState, SpikingNeuron
        >>> neuron = SpikingNeuron("IFNode", ForwardState(time_steps=4))
        >>> spikes = neuron(torch.full((4 * 2, 1, 1, 1), 0.6))  # T*B images, T outermost
        >>> spikes.flatten().tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    """

    def __init__(self, time_steps: int) -> None:
        self.time_steps = time_steps
        self.images: int | None = None
        self.compiled = False
        self.saving = 0.0
        self.read_until: Callable[[int, int], Tensor] | None = None

    def rate(self, sequence: Tensor) -> Tensor:
        """Returns the :func:`rate` of a sequence ``[T, B, ...]``.

        The rate of each image is the mean over the time steps up to which the image is read.
        """
        steps, batch = sequence.shape[:2]
        if self.read_until is None or steps == 1:
            return rate(sequence)
        last = self.read_until(batch, steps)
        if bool((last == steps).all()):  # on the CPU, so no wait for a GPU
            return rate(sequence)
        return mean_up_to(sequence, last)

    def start(self, time_steps: int) -> None:
        """Starts a forward of ``time_steps`` time steps."""
        self.time_steps = time_steps
        self.images = None


def forward_states(model: nn.Module) -> list[ForwardState]:
    """Returns the states of the spiking backbones, necks and heads of ``model``."""
    states = (getattr(m, "state", None) for m in model.modules())
    return list(dict.fromkeys(c for c in states if isinstance(c, ForwardState)))


def repeat_in_time(x: Tensor, time_steps: int) -> Tensor:
    """Repeats ``[B, ...]`` to ``[T, B, ...]`` without a copy (direct encoding).

    Example:
        >>> import torch
        >>> from sakd_dense.neurons import repeat_in_time
        >>> tuple(repeat_in_time(torch.rand(2, 3, 8, 8), 4).shape)
        (4, 2, 3, 8, 8)
    """
    return x.unsqueeze(0).expand(time_steps, *x.shape)


def rate(sequence: Tensor) -> Tensor:
    """Returns the firing rate ``[B, ...]`` of a sequence ``[T, B, ...]``: the mean over T.

    The result is contiguous.

    Example:
        >>> import torch
        >>> from sakd_dense.neurons import rate
        >>> rate(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))  # T = 2, B = 2
        tensor([1.0000, 0.5000])
    """
    if sequence.dim() == 5 and channels_last(sequence.flatten(0, 1)):
        # In the order of memory: a mean across strides takes 30 times as long.
        laid = sequence.permute(0, 1, 3, 4, 2)
        mean = laid.flatten(1).mean(0).view(laid.shape[1:])
        return mean.permute(0, 3, 1, 2).contiguous()
    return sequence.mean(0)


def mean_up_to(sequence: Tensor, last: Tensor) -> Tensor:
    """Returns the firing rate ``[B, ...]`` of each image over its own first time steps.

    The result is contiguous.

    Args:
        sequence: ``[T, B, ...]``.
        last: number of time steps of each image, 1..T, ``[B]``, on the CPU.
    """
    return _MeanUpTo.apply(sequence, last).contiguous()


class _MeanUpTo(torch.autograd.Function):
    # One time step after another, in the order of memory: a sum across the strides of channels
    # last takes several times as long, and the gradient of T slices T times the memory.

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, last: Tensor) -> Tensor:
        steps, batch = sequence.shape[:2]
        longest = int(last.max())
        read = torch.arange(longest).view(-1, 1) < last
        read = read.to(sequence).view(longest, batch, *(1,) * (sequence.dim() - 2))
        last = last.to(sequence).view(read.shape[1:])
        ctx.save_for_backward(read, last)
        ctx.like = torch.empty_like(sequence, device="meta")  # its layout, for the gradient
        total = sequence[0].clone()  # each image is read at least at the first step
        for step in range(1, longest):
            total.addcmul_(sequence[step], read[step])
        return total.div_(last)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        read, last = ctx.saved_tensors
        grads = torch.empty_like(ctx.like, device=grad.device)
        share = torch.div(grad, last, out=torch.empty_like(grads[0]))
        for step, seen in enumerate(read):
            torch.mul(share, seen, out=grads[step])
        grads[len(read) :] = 0
        return grads, None


__all__ = ["ForwardState", "forward_states", "mean_up_to", "rate", "repeat_in_time"]
