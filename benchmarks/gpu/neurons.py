"""Spikes and gradients of a layer of neurons on a device, compared with the CPU."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sakd_dense.neurons.forward_state import ForwardState
from sakd_dense.neurons.layer import SpikingNeuron
from sakd_dense.neurons.nodes import DEFAULT_NEURON
from sakd_dense.neurons.spec import BEFORE, BEHIND

IF: dict[str, Any] = dict(type="IFNode", v_reset=None, detach_reset=True)
NEURONS: dict[str, dict[str, Any]] = {
    "IF": IF,
    "LIF": DEFAULT_NEURON,
    "LIF, hard reset": {**DEFAULT_NEURON, "v_reset": 0.0, "detach_reset": False},
    "I-LIF, D = 4": dict(type="ILIFNode", D=4),
    "NI-LIF, D = 4": dict(type="NILIFNode", D=4),
}
#: Neurons that are also checked in half precision: a kernel takes seconds to compile per dtype.
IN_HALF = ("LIF", "NI-LIF, D = 4")
BACKENDS = ("spikingjelly", "compiled")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SHAPE = (2, 16, 24, 24)
STEPS = 4


@dataclass(frozen=True)
class Check:
    """A value that must not exceed its limit."""

    subject: str
    dtype: str
    what: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.value <= self.limit  # false for NaN


def apart(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> float:
    """Returns the share of elements that differ by more than ``tolerance`` of the largest."""
    a, b = a.detach().cpu().float(), b.detach().cpu().float()
    return ((a - b).abs() > tolerance * b.abs().max()).float().mean().item()


def distance(a: Tensor, b: Tensor) -> float:
    """Returns ``|a - b| / |b|``."""
    a, b = a.detach().cpu().double(), b.detach().cpu().double()
    return ((a - b).norm() / b.norm().clamp_min(1e-12)).item()


def _fired(
    cfg: dict[str, Any],
    device: str,
    backend: str,
    dtype: torch.dtype,
    with_norm: bool,
    before: bool,
) -> dict[str, Tensor]:
    """Returns output and gradients of a layer of neurons, alone or with BatchNorm and shortcut."""
    torch.manual_seed(0)
    batch, channels, *size = SHAPE
    shortcut = BEFORE if before else BEHIND
    neuron = SpikingNeuron({**cfg, "backend": backend}, ForwardState(STEPS), channels, shortcut)
    neuron.to(device)
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.uniform_(-0.5, 0.5)
    x, identity, weights = (1.5 * torch.randn(STEPS * batch, channels, *size) for _ in range(3))
    x, identity, weights = ((v + 0.5).to(dtype).to(device) for v in (x, identity, weights))
    # The reference computes in float32 from the same rounded values.
    if device == "cpu":
        x, identity, weights = x.float(), identity.float(), weights.float()
    x.requires_grad_()
    identity.requires_grad_()
    norm.to(device)
    out = neuron(x, norm, identity) if with_norm else neuron(x)
    (out * weights).float().sum().backward()
    found = {"spikes": out, "gradient of x": x.grad}
    if with_norm:
        found |= {
            "gradient of the shortcut": identity.grad,
            "gradient of BatchNorm": torch.cat([norm.weight.grad, norm.bias.grad]),
            "running statistics": torch.cat([norm.running_mean, norm.running_var]),
        }
    return found


def neurons(device: str) -> Iterator[Check]:
    """Checks spikes and gradients of every neuron, with SpikingJelly's kernels and compiled."""
    for with_norm, before in ((False, False), (True, False), (True, True)):
        where = {False: "", True: ", BN, sum " + ("before" if before else "after")}[with_norm]
        for name, cfg in NEURONS.items():
            for dtype_name, dtype in DTYPES.items():
                if dtype is not torch.float32 and name not in IN_HALF:
                    continue
                reference = _fired(cfg, "cpu", "spikingjelly", dtype, with_norm, before)
                for backend in BACKENDS:
                    found = _fired(cfg, device, backend, dtype, with_norm, before)
                    exact = dtype is torch.float32
                    subject = f"{name}{where}, {backend}"
                    for what, value in found.items():
                        if what == "spikes":
                            flips = (1e-4 if with_norm else 0.0) if exact else 0.02
                            error = apart(value, reference[what], 1e-4 if exact else 0.02)
                            yield Check(subject, dtype_name, "spikes that differ", error, flips)
                        else:
                            error = distance(value, reference[what])
                            limit = (2e-2 if with_norm else 1e-5) if exact else 0.2
                            yield Check(subject, dtype_name, what, error, limit)
