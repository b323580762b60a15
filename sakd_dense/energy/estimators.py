"""SpikingJelly's estimates of the energy of a complete pass, memory included, in mJ per image.

``simple``
    ``SimpleEnergyProfiler``: the strict convention over the complete model, including sums and the
    updates of the neurons. Memory accesses for the weights that spikes reach and for the neuron
    states cost 24.96 pJ per byte. Arithmetic has the given costs.
``lemaire``
    ``LemaireEnergyProfiler`` (Lemaire et al., "An Analytical Estimation of Spiking Neural Networks
    Energy Efficiency", ICONIP 2022): 32-bit integers in SRAMs as large as each layer needs them,
    including the addressing of events, at the costs of the paper. It supports convolutions, linear
    layers, IF and LIF neurons, and omits everything else.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from spikingjelly.activation_based.op_counter import (
    LemaireEnergyConfig,
    LemaireEnergyProfiler,
    SimpleEnergyConfig,
    SimpleEnergyCostConfig,
    SimpleEnergyProfiler,
)
from torch import nn

from ..backbones.time_steps import at_time_steps
from ..neurons.batchnorm import BatchNorm
from ..runtime.errors import UserError
from .readings import plain_neurons

#: Takes a model, one pass of it and pJ per operation. Returns pJ of the pass by part.
Estimator = Callable[[nn.Module, Callable[[], Any], SimpleEnergyCostConfig], dict[str, float]]


def _simple(
    model: nn.Module, run: Callable[[], Any], cost: SimpleEnergyCostConfig
) -> dict[str, float]:
    folded = [BatchNorm]  # at inference
    profiler = SimpleEnergyProfiler(
        config=SimpleEnergyConfig(cost_config=cost, extra_ignore_modules=folded)
    )
    profiler.bind_model(model)
    with profiler:
        run()
    report = profiler.get_report()
    return {
        "arithmetic": report.energy_compute_pj,
        "weights": report.breakdown_pj["parameter_memory_pj"],
        "neuron states": report.breakdown_pj["neuron_state_memory_pj"],
    }


def _lemaire(
    model: nn.Module, run: Callable[[], Any], _cost: SimpleEnergyCostConfig
) -> dict[str, float]:
    profiler = LemaireEnergyProfiler(config=LemaireEnergyConfig(strict=False))
    profiler.bind_model(model)
    with profiler:
        run()
    parts = profiler.get_report().breakdown_pj
    return {
        "arithmetic": parts["ops_pj"],
        "addressing": parts["addressing_pj"],
        "weights": parts["params_pj"],
        "neuron states": parts["potential_pj"],
        "inputs and outputs": parts["inout_pj"],
    }


_ESTIMATORS: dict[str, Estimator] = {"simple": _simple, "lemaire": _lemaire}
ESTIMATORS = tuple(_ESTIMATORS)


@torch.no_grad()
def estimate(
    model: BaseModel,
    batches: Sequence[Any],
    time_steps: int | None,
    cost: SimpleEnergyCostConfig,
    names: Iterable[str],
) -> dict[str, dict[str, float]]:
    """Estimates the energy per image with each of ``names``, in parts that sum to the total.

    Args:
        model: the model in eval mode, run by its ``test_step``.
        batches: batches as a dataloader yields them.
        time_steps: number of time steps T to set on the spiking backbone; None keeps its current T.
        cost: pJ per operation, for ``simple``.
        names: names from :data:`ESTIMATORS`.

    Returns:
        mJ per image by estimator, then by part. The parts of ``simple`` are ``arithmetic``,
        ``weights`` and ``neuron states``.

    Raises:
        UserError: a name is not an estimator.

    Example:
        >>> import torch
        >>> from sakd_dense.config import load_config
        >>> from sakd_dense.energy import cost_of, estimate
        >>> from sakd_dense.loading import build_for_test
        >>> model = build_for_test(load_config("sakd_dense::sew18_sakd_digits.py"), None)
        >>> batches = [dict(inputs=[torch.zeros(3, 40, 40)])]
        >>> list(estimate(model, batches, 1, cost_of("fp32"), ["simple"])["simple"])
        ['arithmetic', 'weights', 'neuron states']
    """
    unknown = sorted(set(names) - set(ESTIMATORS))
    if unknown:
        raise UserError(f"estimators={unknown}: must be among {ESTIMATORS}")
    estimates = {}
    for name in names:
        total: dict[str, float] = {}
        images = 0
        with at_time_steps(model, time_steps), plain_neurons(model):
            for batch in batches:

                def run(batch: Any = batch) -> None:
                    nonlocal images
                    images += len(model.test_step(batch))

                with warnings.catch_warnings():  # about omitted layers, at every call
                    warnings.simplefilter("ignore")
                    parts = _ESTIMATORS[name](model, run, cost)
                total = {k: total.get(k, 0.0) + v * 1e-9 for k, v in parts.items()}
        estimates[name] = {k: v / max(images, 1) for k, v in total.items()}
    return estimates
