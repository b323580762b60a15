r"""Neurons that fire integers: up to D spikes in a time step, trained in one time step.

I-LIF (Luo et al., "Integer-Valued Training and Spike-Driven Inference Spiking Neural Network for
High-Performance and Energy-Efficient Object Detection", ECCV 2024) is SpikingJelly's ``ILIFNode``:

.. math::
    H_t &= \beta (H_{t-1} - C_{t-1}) + X_t, \qquad \beta = 1 - 1/\tau \\
    C_t &= \operatorname{round}(\operatorname{clip}(H_t, 0, D))

with a gradient of 1 where :math:`0 \le H_t \le D`. NI-LIF (Lei et al., "Spike2Former", AAAI 2025)
outputs a normalised count. Here its output is

.. math::
    O_t = s\,C_t(X / s), \qquad s = \theta / D

so that the output keeps the scale of the input. For large D it is :math:`\operatorname{clip}(X, 0,
\theta)`, the teacher's ReLU below the threshold :math:`\theta`. The count is scaled *after*
rounding: each C_t is an integer from 0 to D, and s belongs to the weights that read the output.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor

from ..runtime.arguments import at_least, typed
from ..runtime.errors import UserError


class NILIFNode(neuron.ILIFNode):
    r"""Normalised I-LIF neuron: SpikingJelly's ``ILIFNode`` on X / s, times s.

    Args:
        D: largest number of spikes in a time step. Default: 4.
        v_threshold: initial value of :math:`\theta`, the largest output of a time step. The tensor
            ``threshold`` holds :math:`\theta`, one value per channel.
            :func:`sakd_dense.transfer.calibrate` fits it. Default: 2.0.
        tau: membrane time constant in time steps. None (default) means no leak
            (:math:`\beta = 1`). At T = 1 it has no effect.
        detach_reset: whether no gradient passes through the reset. Default: True.
        channels: number of channels of the input ``[T, B, C, H, W]``. None (default) means one
            threshold for all channels.
    """

    @typed
    def __init__(
        self,
        D: int = 4,  # noqa: N803 - the papers' name
        v_threshold: float = 2.0,
        tau: float | None = None,
        detach_reset: bool = True,
        channels: int | None = None,
        step_mode: str = "m",
    ) -> None:
        if not v_threshold > 0:
            raise UserError(f"NILIFNode: v_threshold={v_threshold!r}: must be a number above 0")
        super().__init__(
            tau=NO_LEAK if tau is None else tau,
            v_threshold=1.0,
            surrogate_function=spike_count(D),
            detach_reset=detach_reset,
            step_mode=step_mode,
        )
        threshold = torch.full(() if channels is None else (channels,), float(v_threshold))
        self.register_buffer("threshold", threshold)

    @property
    def D(self) -> int:  # noqa: N802 - the papers' name
        """Largest number of spikes in a time step."""
        return self.surrogate_function.max_spike_count

    @property
    def scale(self) -> Tensor:
        """Value s that one spike adds to the output, ``[C]`` or ``[]``."""
        return self.threshold / self.D

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        scale = self.scale if self.threshold.dim() == 0 else self.scale.view(-1, 1, 1)
        return (super().multi_step_forward(x_seq / scale) * scale).to(x_seq.dtype)


def spikes_of(x: Tensor, scale: Tensor) -> Tensor:
    """Converts ``x``, ``[N, C, ...]``, to whole multiples of ``scale``, ``[C]`` or ``[]``."""
    return (x / (scale.view(-1, *(1,) * (x.dim() - 2)) if scale.dim() else scale)).round()


def check_counts(counts: Iterable[int]) -> tuple[int, ...]:
    """Checks the values of D to read, and returns them in the given order.

    Raises:
        UserError: ``counts`` is empty, or contains a D that is not an integer of at least 1 or that
            is given more than once.
    """
    levels = tuple(counts)
    if not levels:
        raise UserError("counts is empty: give at least one D, such as 4")
    for level in levels:
        spike_count(level)
    doubles = sorted({level for level in levels if levels.count(level) > 1})
    if doubles:
        raise UserError(f"counts={levels}: D={doubles[0]} is given more than once")
    return levels


#: A tau so large that :math:`1 - 1 / \tau` is 1.
NO_LEAK = 1e30


def spike_count(D: int | None) -> surrogate.MultiLevelSpikeCount:  # noqa: N803 - the papers' name
    """Returns SpikingJelly's counting function for at most ``D`` spikes.

    Raises:
        UserError: ``D`` is not an integer of at least 1.
    """
    return surrogate.MultiLevelSpikeCount(at_least("D", D))


__all__ = ["NO_LEAK", "NILIFNode", "check_counts", "spike_count", "spikes_of"]
