r"""SpikingJelly's dynamics of IF, LIF and I-LIF neurons over all T in one compiled pass.

.. math::
    H_t &= V_{t-1} + X_t                          & \text{IF} \\
    H_t &= V_{t-1} - (V_{t-1} - r) / \tau + X_t   & \text{LIF} \\
    H_t &= V_{t-1} + (X_t - (V_{t-1} - r)) / \tau & \text{LIF, input decayed} \\
    S_t &= \Theta(H_t - \theta) \\
    V_t &= H_t - \theta S_t                       & \text{soft reset, } r = 0 \\
    V_t &= S_t r + (1 - S_t) H_t                  & \text{hard reset} \\
    S_t &= \operatorname{round}(\operatorname{clip}(H_t / \theta, 0, D)) & \text{I-LIF, soft reset}

and, with the surrogate gradient :math:`\sigma'` at :math:`U_t = H_t - \theta`,

.. math::
    \bar H_t &= \sigma' \bar S_t + R_t \bar V_t \\
    R_t &= 1 - \theta \sigma'                     & \text{soft reset} \\
    R_t &= 1 - S_t + (r - H_t) \sigma'            & \text{hard reset}

where a detached reset has no :math:`\sigma'` in :math:`R_t`. For a neuron that fires integers,
:math:`U_t = H_t / \theta`, and :math:`\sigma' = 1 / \theta` where :math:`U_t` lies in the window of
the surrogate. In float32 the values equal SpikingJelly's bit for bit; the pass saves reads and
writes of memory. In half precision the potential stays in float32, while SpikingJelly rounds it at
every step: some 4 spikes in 10 000 differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from .counts import NILIFNode, spike_count

#: T tensors of the same shape, one for each time step.
Steps = list[Tensor]


@dataclass(frozen=True)
class Dynamics:
    r"""Hashable dynamics of an IF (``tau=None``), LIF or I-LIF neuron.

    Args:
        tau: membrane time constant, in time steps.
        decay_input: whether the input is divided by tau too.
        threshold: :math:`\theta`.
        reset: potential after a spike, for a hard reset; None means a soft reset.
        detach_reset: whether no gradient passes through the spike in the reset.
        surrogate: function ``(grad, U, **parameters)`` that returns ``grad`` times the surrogate
            gradient at U.
        parameters: parameters of the surrogate, as pairs.
        start: potential before the first step.
        max_spikes: D of a neuron that fires integers. None (default) means binary spikes.
    """

    tau: float | None
    decay_input: bool
    threshold: float
    reset: float | None
    detach_reset: bool
    surrogate: Callable[..., Tensor]
    parameters: tuple[tuple[str, Any], ...]
    start: float
    max_spikes: int | None = None

    @classmethod
    def of(cls, node: nn.Module) -> Dynamics | None:
        """Returns the dynamics of a neuron, or None if this module does not support it.

        Supported are plain IF, LIF, I-LIF and NI-LIF neurons that fire spikes with a surrogate of
        SpikingJelly and have ``store_v_seq=False``. The dynamics of a ``NILIFNode`` are in units of
        its scale.
        """
        counts = type(node) in (neuron.ILIFNode, NILIFNode)
        lif = counts or type(node) is neuron.LIFNode
        if not (lif or type(node) is neuron.IFNode) or node.store_v_seq:
            return None
        gradient = node.surrogate_function
        if not isinstance(gradient, surrogate.SurrogateFunctionBase) or not gradient.spiking:
            return None
        if not counts and not hasattr(type(gradient), "backward"):
            return None
        return cls(
            tau=node.tau if lif else None,
            decay_input=lif and node.decay_input,
            threshold=node.v_threshold,
            reset=node.v_reset,
            detach_reset=node.detach_reset,
            surrogate=_window if counts else type(gradient).backward,
            parameters=_parameters(_window if counts else type(gradient).backward, gradient),
            start=start_of(node),
            max_spikes=gradient.max_spike_count if counts else None,
        )

    def with_max_spikes(self, count: int) -> Dynamics:
        """Returns the dynamics of the same neuron, which fires integers, at another D."""
        parameters = _parameters(_window, spike_count(count))
        return replace(self, parameters=parameters, max_spikes=count)

    def charge(self, v: Tensor | float, x: Tensor) -> Tensor:
        if self.tau is None:
            return v + x
        rest = 0.0 if self.reset is None else self.reset
        if self.decay_input:
            return v + (x - (v - rest)) / self.tau
        return v - (v - rest) / self.tau + x

    def potentials(self, currents: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Returns S and U at every t for X at every t, in float32."""
        v: Tensor | float = self.start
        spikes, above = [], []
        for x in currents:
            h = self.charge(v, x)
            if self.max_spikes is None:
                u = h - self.threshold
                spike = (u >= 0).float()
            else:
                u = h / self.threshold
                spike = u.clamp(0, self.max_spikes).round()
            if self.reset is None:
                v = h - spike * self.threshold
            else:
                v = spike * self.reset + (1.0 - spike) * h
            spikes.append(spike)
            above.append(u)
        return spikes, above

    def gradients(self, grads: Sequence[Tensor], above: Sequence[Tensor]) -> list[Tensor]:
        """Returns the gradients with respect to X at every t, in float32.

        Args:
            grads: gradients with respect to S at every t.
            above: U at every t.
        """
        by_current: list[Tensor] = []
        carry: Tensor | float = 0.0
        for s_bar, u in zip(reversed(grads), reversed(above), strict=True):
            slope = self.surrogate(torch.ones_like(u), u, **dict(self.parameters))
            if self.max_spikes is not None:
                slope = slope / self.threshold
            if self.reset is None:
                through = 1.0 if self.detach_reset else 1.0 - self.threshold * slope
            else:
                through = 1.0 - (u >= 0).float()
                if not self.detach_reset:
                    through = through + (self.reset - self.threshold - u) * slope
            h_bar = s_bar * slope + carry * through
            decayed = 0.0 if self.tau is None else h_bar / self.tau
            carry = h_bar - decayed
            by_current.append(decayed if self.decay_input else h_bar)
        return by_current[::-1]


def start_of(node: nn.Module) -> float:
    """Returns the potential of a neuron before the first step: at rest, or its ``v_init``."""
    share = getattr(node, "v_init", None)
    if share is not None:
        return share * node.v_threshold
    return 0.0 if node.v_reset is None else float(node.v_reset)


def _parameters(function: Callable[..., Tensor], gradient: nn.Module) -> tuple:
    """Returns the values that ``gradient`` has for the parameters of ``function`` behind U."""
    names = list(inspect.signature(function).parameters)[2:]
    return tuple((name, getattr(gradient, name)) for name in names if hasattr(gradient, name))


def _window(grad: Tensor, u: Tensor, grad_min: float, grad_max: float) -> Tensor:
    return torch.where((u >= grad_min) & (u <= grad_max), grad, torch.zeros_like(grad))


def each_step(x: Tensor, steps: int) -> list[Tensor]:
    """Splits ``[T, ...]``, or ``[1, ...]`` for the same at every t, into T tensors."""
    return [x[t if x.shape[0] == steps else 0] for t in range(steps)]


def join(steps: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Stacks T tensors to ``[T, ...]``."""
    return torch.stack([x.to(dtype) for x in steps])


__all__ = ["Dynamics", "Steps", "each_step", "join", "start_of"]
