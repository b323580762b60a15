r"""Specification of a layer of neurons: all that it computes, apart from its tensors.

.. math::
    O_t &= s\,S_t((X + I) / s)  & \text{shortcut before the neuron} \\
    O_t &= s\,S_t(X / s) + I_t  & \text{shortcut behind it (SEW, ADD)}

*X* is the output of the norm before the neuron (or of the convolution, without a norm), *S* the
number of spikes (:mod:`.dynamics`), *s* the value of a spike (1, except for a ``NILIFNode``) and
*I* the shortcut of a block that has one.

A layer makes its specification once, when it is built. SpikingJelly's node, the compiled pass
(:mod:`.kernels`) and the exports read it, so that these equations are written only here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from .dynamics import Dynamics

#: Where a layer adds its shortcut.
BEFORE, BEHIND = "before", "behind"


@dataclass(frozen=True)
class NeuronSpec:
    """Hashable specification of a layer of neurons.

    Args:
        dynamics: dynamics of its neurons; None if only SpikingJelly's node computes them.
        max_spikes: largest number of spikes D of a neuron in one time step; 1 for binary neurons.
        shortcut: ``'before'`` or ``'behind'``: the place where the layer adds a shortcut.
    """

    dynamics: Dynamics | None
    max_spikes: int
    shortcut: str

    @classmethod
    def of(cls, node: nn.Module, shortcut: str) -> NeuronSpec:
        """Returns the specification of a layer with SpikingJelly's ``node``."""
        gradient = getattr(node, "surrogate_function", None)
        return cls(Dynamics.of(node), getattr(gradient, "max_spike_count", 1), shortcut)

    def with_max_spikes(self, count: int) -> NeuronSpec:
        """Returns the specification of the same layer at another D."""
        dynamics = self.dynamics and self.dynamics.with_max_spikes(count)
        return replace(self, dynamics=dynamics, max_spikes=count)

    def inputs(
        self, x: Sequence[Tensor], shortcut: Sequence[Tensor] | None, value: Tensor | None
    ) -> Sequence[Tensor]:
        """Returns the inputs of the dynamics, in units of the value of a spike.

        Args:
            x: X, in any number of parts (one for each time step, or all steps together).
            shortcut: I in the same parts, or None.
            value: s, of a shape that broadcasts, or None for 1.
        """
        if shortcut is not None and self.shortcut == BEFORE:
            x = [a + b for a, b in zip(x, shortcut, strict=True)]
        return x if value is None else [a / value for a in x]

    def outputs(
        self,
        x: Sequence[Tensor],
        shortcut: Sequence[Tensor] | None,
        value: Tensor | None,
        fire: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    ) -> Sequence[Tensor]:
        """Returns O in the parts of ``x``.

        Args:
            x: X, as in :meth:`inputs`.
            shortcut: I, as in :meth:`inputs`.
            value: s, as in :meth:`inputs`.
            fire: returns S for the inputs of the dynamics.
        """
        out = fire(self.inputs(x, shortcut, value))
        if value is not None:
            out = [s * value for s in out]
        if shortcut is not None and self.shortcut == BEHIND:
            out = [s + i for s, i in zip(out, shortcut, strict=True)]
        return out


__all__ = ["BEFORE", "BEHIND", "NeuronSpec"]
