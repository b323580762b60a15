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
``neuromc``
    ``NeuroMCEnergyProfiler`` (doi.org/10.1038/s41467-026-70586-x): an accelerator at 32 nm with
    fixed SRAMs and 16 by 16 processing elements that keep their weights. Values have 16 bits and
    spikes have 1 bit. A time step without a spike takes the same work as one with a spike. The
    estimate covers convolutions, linear layers and neurons (BatchNorm is folded). A grouped
    convolution counts as a full one.
``spikesim``, ``spikesim-event``
    ``SpikeSimEnergyProfiler`` (Moitra et al., "SpikeSim", IEEE TCAD 2023): analog crossbars of 64
    by 64 cells at 65 nm that compute where the weights are stored. In ``spikesim`` every read costs
    the same, as published. In ``spikesim-event``, which uses SpikingJelly's ``event`` activity,
    inputs without spikes cost nothing. Both support only convolutions with one group and treat all
    of them as spiking. They therefore give no estimate for an ANN and underestimate an ANN neck or
    head.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from mmengine.model import BaseModel
from spikingjelly.activation_based.neuron.base_node import BaseNode
from spikingjelly.activation_based.op_counter import (
    LemaireEnergyConfig,
    LemaireEnergyProfiler,
    NeuroMCEnergyProfiler,
    SimpleEnergyConfig,
    SimpleEnergyCostConfig,
    SimpleEnergyProfiler,
    SpikeSimEnergyConfig,
    SpikeSimEnergyProfiler,
)
from torch import nn

from ..backbones.time_steps import at_time_steps
from ..neurons.batchnorm import BATCHNORMS
from ..neurons.layer import SpikingNeuron
from ..runtime.errors import UserError
from .readings import plain_neurons

#: Takes a model, one pass of it and pJ per operation. Returns pJ of the pass by part.
Estimator = Callable[[nn.Module, Callable[[], Any], SimpleEnergyCostConfig], dict[str, float]]


def _simple(
    model: nn.Module, run: Callable[[], Any], cost: SimpleEnergyCostConfig
) -> dict[str, float]:
    folded = [*BATCHNORMS]  # at inference
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


def _neuromc(
    model: nn.Module, run: Callable[[], Any], _cost: SimpleEnergyCostConfig
) -> dict[str, float]:
    profiler = NeuroMCEnergyProfiler()
    profiler.bind_model(model)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear | BaseNode)]
    with ExitStack() as stack:
        stack.enter_context(profiler)
        stack.enter_context(profiler.stage("forward"))
        # NeuroMC refuses operations it does not support (pooling, boxes), so it is suspended
        # except while its own hooks on the layers run.
        suspension = stack.enter_context(ExitStack())
        suspension.enter_context(profiler.suspend())

        def resume(*_: Any) -> None:
            suspension.close()

        def suspend(*_: Any) -> None:
            suspension.enter_context(profiler.suspend())

        for layer in layers:
            stack.callback(layer.register_forward_hook(resume, prepend=True).remove)
            stack.callback(layer.register_forward_hook(suspend).remove)
        run()
    report = profiler.get_report()
    return {
        "arithmetic": report.energy_mac_pj,
        "layers' memory": report.energy_base_memory_pj,
        "neurons": report.energy_extra_compute_pj,
        "neurons' memory": report.energy_extra_memory_pj,
    }


def _spikesim(activity: str, **parts: str) -> Estimator:
    def run_spikesim(
        model: nn.Module, run: Callable[[], Any], _cost: SimpleEnergyCostConfig
    ) -> dict[str, float]:
        config = SpikeSimEnergyConfig(activity_mode=activity)
        profiler = SpikeSimEnergyProfiler(config=config, strict=False)
        with profiler:
            run()
        report = profiler.get_report()
        # Levels of a pyramid share a layer, which loses nothing. Other warnings mean that the sum
        # lacks layers.
        missing = [w for w in report.warnings if "inconsistent shapes" not in w]
        if missing:
            raise UserError(f"estimators: spikesim: {missing[0]} Leave spikesim out")
        return {part: report.breakdown_pj[key] for key, part in parts.items()}

    return run_spikesim


_ESTIMATORS: dict[str, Estimator] = {
    "simple": _simple,
    "lemaire": _lemaire,
    "neuromc": _neuromc,
    "spikesim": _spikesim("dense", pe_cycle_pj="crossbars"),
    "spikesim-event": _spikesim(
        "event", patch_control_pj="control", xbar_pj="crossbars", neuron_pj="neurons"
    ),
}
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
        model: the model in eval mode, run by its ``test_step``. ``spikesim`` and ``spikesim-event``
            skip a model without neurons.
        batches: batches as a dataloader yields them.
        time_steps: number of time steps T to set on the spiking backbone; None keeps its current T.
        cost: pJ per operation, for ``simple``.
        names: names from :data:`ESTIMATORS`.

    Returns:
        mJ per image by estimator, then by part. The parts of ``simple`` are ``arithmetic``,
        ``weights`` and ``neuron states``.

    Raises:
        UserError: a name is not an estimator, or ``spikesim`` does not support a layer.

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
    spikes = any(isinstance(m, SpikingNeuron) for m in model.modules())
    estimates = {}
    for name in names:
        if name.startswith("spikesim") and not spikes:
            continue
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
