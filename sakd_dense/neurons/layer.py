"""A layer of SpikingJelly neurons.

The dynamics are SpikingJelly's. This module folds time into the batch axis, ensures that no
membrane potential survives a forward, and adds a compiled pass over all T
(:mod:`sakd_dense.neurons.fused`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from spikingjelly.activation_based import neuron as sj_neuron
from torch import Tensor, nn

from ..runtime.errors import UserError
from ..runtime.patching import temporarily
from .batchnorm import fits, is_observed
from .compiling import Fallback, saving
from .counts import spike_count, spikes_of
from .dynamics import start_of
from .forward_state import ForwardState, repeat_in_time
from .fused import fire
from .nodes import build_node
from .sequences import aligned, unrepeated
from .spec import BEFORE, NeuronSpec

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
        cfg: config of the neuron, see :func:`build_node`, and its ``backend``. ``'spikingjelly'``
            runs the node itself. ``'compiled'`` runs IF, LIF, I-LIF and NI-LIF neurons by
            :func:`.fused.fire`, together with the BatchNorm before them and the shortcut; spikes
            and gradients are the same. ``'auto'`` (default) does so in runs that are long enough
            (:class:`.compile_hook.CompileNeuronsHook`).
        state: provides the number of time steps T.
        channels: number of input channels, if it is known.
        shortcut: place where a shortcut is added, ``'before'`` (default) or ``'behind'`` the
            neuron; see :mod:`.spec`.

    Attributes:
        spec: :class:`~.spec.NeuronSpec` of the layer.

    Example:
        >>> import torch
        >>> from sakd_dense.neurons import ForwardState, SpikingNeuron
        >>> layer = SpikingNeuron(dict(type="LIFNode", tau=2.0), ForwardState(time_steps=4))
        >>> tuple(layer(torch.rand(4 * 2, 8, 16, 16)).shape)  # T*B images
        (8, 8, 16, 16)
    """

    def __init__(
        self,
        cfg: Mapping[str, Any] | str,
        state: ForwardState,
        channels: int | None = None,
        shortcut: str = BEFORE,
    ) -> None:
        super().__init__()
        args = dict(type=cfg) if isinstance(cfg, str) else dict(cfg)
        self.backend = args.pop("backend", "auto")
        if self.backend not in BACKENDS:
            raise UserError(f"neuron: backend={self.backend!r}: must be one of {BACKENDS}")
        self.node = build_node(args, state.time_steps, channels)
        self.spec = NeuronSpec.of(self.node, shortcut)
        if self.backend == "compiled" and self.spec.dynamics is None:
            raise UserError(
                f"neuron={cfg!r}: backend='compiled' supports IFNode and LIFNode with a surrogate "
                "of SpikingJelly, ILIFNode and NILIFNode; use 'auto' or 'spikingjelly'"
            )
        self.state = state

    @property
    def causal(self) -> bool:
        """Whether the spikes at t depend only on the input up to t."""
        return not isinstance(self.node, sj_neuron.PSN)

    @property
    def max_spikes(self) -> int:
        """Largest number of spikes D of a neuron in one time step; 1 for binary neurons.

        It can be set on a layer that fires integers.
        """
        return self.spec.max_spikes

    @max_spikes.setter
    def max_spikes(self, count: int) -> None:
        self.node.surrogate_function = spike_count(count)
        self.spec = self.spec.with_max_spikes(count)

    @property
    def scale(self) -> Tensor | None:
        """Value of a spike of a ``NILIFNode``, ``[C]`` or ``[]``.

        It is None for other neurons, whose spikes have the value 1.
        """
        return getattr(self.node, "scale", None)

    def spikes_of(self, output: Tensor) -> Tensor:
        """Converts an output of :meth:`forward`, ``[N, C, ...]``, to numbers of spikes."""
        return output if self.scale is None else spikes_of(output, self.scale)

    def forward(
        self, x: Tensor, norm: nn.Module | None = None, identity: Tensor | None = None
    ) -> Tensor:
        """Returns the output of the layer; a compiled layer computes it in one pass.

        Args:
            x: input of the layer, or of ``norm`` if one is given.
            norm: BatchNorm or other norm before the neuron; its statistics cover all time steps.
                With a norm, and without gradients, the neuron may overwrite ``x`` with its spikes,
                as an in-place ReLU does: only the norm reads the output of its convolution.
            identity: shortcut of a block, of the shape of the output, which is added before or
                behind the neuron, as ``spec.shortcut`` names it.
        """
        steps = self.state.time_steps
        identity = None if identity is None else aligned(identity)
        x = self.in_time(aligned(x))
        compiled, owned = self._runs_compiled(x), norm is not None
        fused_norm = norm if compiled and fits(norm, x) else None
        if norm is not None and fused_norm is None:
            x, stored_steps = unrepeated(x, steps)
            x = norm(x) if stored_steps == steps else repeat_in_time(norm(x), steps)
        if compiled:
            return fire(x, steps, self.spec, fused_norm, identity, self.scale, owned=owned)
        # The node multiplies by the value of a spike itself.
        summed = None if identity is None else [identity]
        return self.spec.outputs([x], summed, None, lambda x: [aligned(self._spikes(x[0]))])[0]

    def in_time(self, x: Tensor) -> Tensor:
        """Returns ``x``, repeated in time without a copy if it holds the images only once.

        In that case ``x`` is ``[B, C, H, W]``, see ``images`` of
        :class:`~.forward_state.ForwardState`.
        """
        first = x.dim() == 4 and x.shape[0] == self.state.images
        return repeat_in_time(x, self.state.time_steps) if first else x

    def _spikes(self, x: Tensor) -> Tensor:
        steps = self.state.time_steps
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

    def _runs_compiled(self, x: Tensor) -> bool:
        # A hook on the node expects the node to run.
        if self.spec.dynamics is None or is_observed(self.node):
            return False
        if self.backend == "auto":
            self.state.saving += saving(x, self.spec.dynamics.max_spikes is not None)
            return self.state.compiled and Fallback.reason is None
        return self.backend == "compiled"

    def _reset(self) -> None:
        if hasattr(self.node, "reset"):
            self.node.reset()
        if hasattr(self.node, "v_init"):
            self.node.v = start_of(self.node)


@contextmanager
def at_counts(model: nn.Module, D: int | None) -> Iterator[None]:  # noqa: N803 - the papers' name
    """Sets D of the neurons of ``model`` that fire integers, inside the ``with`` block.

    None changes nothing. A ``NILIFNode`` keeps its threshold, so its scale changes. An ``ILIFNode``
    keeps its scale.

    Raises:
        UserError: no neuron of ``model`` fires integers, or ``D`` is not an integer of at least 1.
    """
    if D is None:
        yield
        return
    layers = [m for m in model.modules() if isinstance(m, SpikingNeuron)]
    layers = [layer for layer in layers if isinstance(layer.node, sj_neuron.ILIFNode)]
    if not layers:
        raise UserError(
            f"D={D}: {type(model).__name__} has no neuron that fires integers "
            "(neuron=dict(type='NILIFNode', D=4)); leave the counts out"
        )
    with temporarily(layers, max_spikes=D):
        yield


__all__ = ["BACKENDS", "SpikingNeuron", "at_counts"]
