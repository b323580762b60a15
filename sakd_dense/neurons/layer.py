"""A layer of SpikingJelly neurons.

The dynamics are SpikingJelly's. This module folds time into the batch axis, ensures that no
membrane potential survives a forward, and adds a compiled pass over all T
(:mod:`sakd_dense.neurons.fused`).
"""

from collections.abc import Mapping
from typing import Any

from spikingjelly.activation_based import neuron as sj_neuron
from torch import Tensor, nn

from ..runtime.errors import UserError
from .batchnorm import fits, is_observed
from .clock import Clock, repeat_in_time
from .compiling import Payback, saving
from .counts import spikes_of
from .dynamics import Dynamics, start_of
from .fused import fire
from .nodes import build_node
from .sequences import aligned, unrepeated

#: Backends of a neuron: the better of the others; SpikingJelly; one compiled pass (IF, LIF, I-LIF
#: and NI-LIF).
BACKENDS = ("auto", "spikingjelly", "compiled")


class SpikingNeuron(nn.Module):
    """Layer of neurons on a sequence whose time is folded into the batch axis.

    Input: ``[T*B, C, H, W]`` (T outermost) or a complete sequence ``[T, B, C, H, W]``. Output:
    spikes ``[T*B, C, H, W]``. The state is reset at the start and the end of every call, so two
    calls never share it: neither two images, nor two slide windows, nor a checkpointed block and
    its recomputation.

    Args:
        cfg: Config of the neuron, see :func:`build_node`, and its ``backend``. ``'spikingjelly'``
            runs the node itself. ``'compiled'`` runs IF, LIF, I-LIF and NI-LIF neurons by
            :func:`.fused.fire`, together with the BatchNorm before them and the shortcut; spikes
            and gradients are the same. ``'auto'`` (default) does so as soon as it pays: on a CPU,
            and on a GPU in half precision.
        clock: Provides the number of time steps T.
        channels: Number of input channels, if it is known.

    Example:
        >>> import torch
        >>> from sakd_dense.neurons import Clock, SpikingNeuron
        >>> layer = SpikingNeuron(dict(type="LIFNode", tau=2.0), Clock(time_steps=4))
        >>> tuple(layer(torch.rand(4 * 2, 8, 16, 16)).shape)  # T*B images
        (8, 8, 16, 16)
    """

    def __init__(
        self, cfg: Mapping[str, Any] | str, clock: Clock, channels: int | None = None
    ) -> None:
        super().__init__()
        args = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
        self.backend = args.pop("backend", "auto")
        if self.backend not in BACKENDS:
            raise UserError(f"neuron: backend={self.backend!r}: must be one of {BACKENDS}")
        self.node = build_node(args, clock.time_steps, channels)
        if self.backend == "compiled" and Dynamics.of(self.node) is None:
            raise UserError(
                f"neuron={cfg!r}: backend='compiled' supports IFNode and LIFNode with a surrogate "
                "of SpikingJelly, ILIFNode and NILIFNode; use 'auto' or 'spikingjelly'"
            )
        self.clock = clock

    @property
    def causal(self) -> bool:
        """Whether the spikes at t depend only on the input up to t."""
        return not isinstance(self.node, sj_neuron.PSN)

    @property
    def slots(self) -> int:
        """Largest number of spikes D of a neuron in one time step; 1 for binary neurons."""
        gradient = getattr(self.node, "surrogate_function", None)
        return getattr(gradient, "max_spike_count", 1)

    @property
    def step(self) -> Tensor | None:
        """Value of a spike of a ``NILIFNode``, ``[C]`` or ``[]``.

        It is None for other neurons, whose spikes have the value 1.
        """
        return getattr(self.node, "step", None)

    def spikes_of(self, output: Tensor) -> Tensor:
        """Converts an output of :meth:`forward`, ``[N, C, ...]``, to numbers of spikes."""
        return output if self.step is None else spikes_of(output, self.step)

    def forward(
        self,
        x: Tensor,
        norm: nn.Module | None = None,
        identity: Tensor | None = None,
        before: bool = False,
    ) -> Tensor:
        """Returns ``spikes(norm(x)) + identity``; a fused neuron computes it in one pass.

        Args:
            x: Input of the layer, or of ``norm`` if one is given.
            norm: BatchNorm or other norm before the neuron; its statistics cover all time steps.
                With a norm, and without gradients, the neuron may overwrite ``x`` with its spikes,
                as an in-place ReLU does: only the norm reads the output of its convolution.
            identity: Shortcut of a block with ``connect='ADD'`` or ``'BEFORE'``, of the shape of
                the output.
            before: Whether to return ``spikes(norm(x) + identity)`` instead. Default: False.
        """
        steps = self.clock.time_steps
        identity = None if identity is None else aligned(identity)
        x = self.in_time(aligned(x))
        dynamics, owned = self._fused(x), norm is not None
        fused_norm = norm if dynamics is not None and fits(norm, x) else None
        if norm is not None and fused_norm is None:
            x, stored_steps = unrepeated(x, steps)
            x = norm(x) if stored_steps == steps else repeat_in_time(norm(x), steps)
        if dynamics is not None:
            if before and x.dim() == 5:
                x = x.flatten(0, 1)
            return fire(
                x,
                steps,
                dynamics,
                fused_norm,
                identity,
                owned=owned,
                before=before,
                step=self.step,
            )
        if before and identity is not None:
            x, identity = x + identity, None
        spikes = aligned(self._spikes(x))
        return spikes if identity is None else spikes + identity

    def in_time(self, x: Tensor) -> Tensor:
        """Returns ``x``, repeated in time without a copy if it holds the images only once.

        In that case ``x`` is ``[B, C, H, W]``, see ``images`` of :class:`~.clock.Clock`.
        """
        first = x.dim() == 4 and x.shape[0] == self.clock.images
        return repeat_in_time(x, self.clock.time_steps) if first else x

    def _spikes(self, x: Tensor) -> Tensor:
        steps = self.clock.time_steps
        sequence = x if x.dim() == 5 else x.unflatten(0, (steps, -1))
        fixed = getattr(self.node, "T", None)
        if isinstance(self.node, sj_neuron.PSN) and fixed != sequence.shape[0]:
            raise UserError(
                f"neuron {type(self.node).__name__} was built for T={fixed} and cannot run "
                f"T={sequence.shape[0]}: its weights are a T by T matrix. Use IFNode or LIFNode."
            )
        self._reset()
        spikes = self.node(sequence)
        self._reset()
        return spikes.flatten(0, 1)

    def _fused(self, x: Tensor) -> Dynamics | None:
        # A hook on the node expects the node to run.
        if self.backend == "spikingjelly" or is_observed(self.node):
            return None
        if self.backend == "auto":
            saved = saving(x, integers=isinstance(self.node, sj_neuron.ILIFNode))
            kind = f"{type(self.node).__name__} {x.dtype} {x.device.type}"
            self.clock.payback.count(self.clock.time_steps, saved, kind)
            if not saved or not self.clock.compiled or Payback.broken:
                return None
        return Dynamics.of(self.node)

    def _reset(self) -> None:
        if hasattr(self.node, "reset"):
            self.node.reset()
        if hasattr(self.node, "v_init"):
            self.node.v = start_of(self.node)


__all__ = ["BACKENDS", "SpikingNeuron"]
