"""SpikingJelly's estimates of a whole pass, memory included, in mJ an image.

``simple``
    ``SimpleEnergyProfiler``: the strict convention over the whole model, the neurons' own updates
    and sums included; weights that spikes meet and neuron states at 24.96 pJ a byte. Arithmetic at
    the costs given.
``lemaire``
    ``LemaireEnergyProfiler`` (Lemaire et al., "An Analytical Estimation of Spiking Neural Networks
    Energy Efficiency", ICONIP 2022): 32-bit integers in SRAMs as large as each layer needs them,
    addressing of events included, at the paper's own costs. It knows convolutions, linear layers,
    IF and LIF; what else there is, it leaves out.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from spikingjelly.activation_based.op_counter import (
    LemaireEnergyConfig,
    LemaireEnergyProfiler,
    SimpleEnergyConfig,
    SimpleEnergyCostConfig,
    SimpleEnergyProfiler,
)
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..timesteps.timing import at_time_steps
from .measure import plain_neurons


def _simple(cost: SimpleEnergyCostConfig) -> SimpleEnergyProfiler:
    folded = [_BatchNorm]  # at inference
    return SimpleEnergyProfiler(
        config=SimpleEnergyConfig(cost_config=cost, extra_ignore_modules=folded)
    )


def _simple_parts(report: Any) -> dict[str, float]:
    return {
        "arithmetic": report.energy_compute_pj,
        "weights": report.breakdown_pj["parameter_memory_pj"],
        "neuron states": report.breakdown_pj["neuron_state_memory_pj"],
    }


def _lemaire(_cost: SimpleEnergyCostConfig) -> LemaireEnergyProfiler:
    return LemaireEnergyProfiler(config=LemaireEnergyConfig(strict=False))


def _lemaire_parts(report: Any) -> dict[str, float]:
    found = report.breakdown_pj
    return {
        "arithmetic": found["ops_pj"],
        "addressing": found["addressing_pj"],
        "weights": found["params_pj"],
        "neuron states": found["potential_pj"],
        "inputs and outputs": found["inout_pj"],
    }


_ESTIMATORS: dict[str, tuple[Callable[..., Any], Callable[[Any], dict[str, float]]]] = {
    "simple": (_simple, _simple_parts),
    "lemaire": (_lemaire, _lemaire_parts),
}
ESTIMATORS = tuple(_ESTIMATORS)


@torch.no_grad()
def estimate(
    model: nn.Module,
    batches: Sequence[Any],
    time_steps: int | None,
    cost: SimpleEnergyCostConfig,
    names: Iterable[str],
) -> dict[str, dict[str, float]]:
    """mJ an image by each of ``names``, in parts that sum to the whole.

    Args:
        model: in eval mode; its ``test_step`` is run.
        batches: as a dataloader gives them.
        time_steps: T to set on its spiking backbone; None leaves it as it is.
        cost: pJ an operation, for ``simple``.

    Raises:
        ValueError: there is no estimator of a name.
    """
    unknown = sorted(set(names) - set(ESTIMATORS))
    if unknown:
        raise ValueError(f"estimators={unknown}: take some of {ESTIMATORS}")
    found = {}
    for name in names:
        make, parts_of = _ESTIMATORS[name]
        total: dict[str, float] = {}
        images = 0
        with at_time_steps(model, time_steps), plain_neurons(model):
            for batch in batches:
                profiler = make(cost)
                profiler.bind_model(model)
                with warnings.catch_warnings():  # of what it leaves out, at every call
                    warnings.simplefilter("ignore")
                    with profiler:
                        images += len(model.test_step(batch))
                    parts = parts_of(profiler.get_report())
                total = {k: total.get(k, 0.0) + v * 1e-9 for k, v in parts.items()}
        found[name] = {k: v / max(images, 1) for k, v in total.items()}
    return found
