"""Operations and their costs under two conventions from the literature.

``strict`` follows SpikingJelly's :class:`~spikingjelly.activation_based.op_counter.SynOpCounter`
and ``MACCounter``, and syops-counter (Chen et al., "Training Full Spike Neural Networks via
Auxiliary Accumulation Pathway", arXiv:2301.11929). Spikes are 0 or 1, and every spike costs one
accumulate (AC) for each weight that it reaches. If the input of a layer contains any other value,
the layer multiplies: all its operations are multiply-accumulates (MACs), at every time step.

``count`` treats an integer n in the input, such as a sum of the SEW connection ADD, as n spikes: n
ACs for each weight that it reaches. This matches inference in which integers become n binary spikes
(Luo et al., "Integer-Valued Training and Spike-Driven Inference Spiking Neural Network for
High-Performance and Energy-Efficient Object Detection", ECCV 2024). A layer whose input contains a
value that is negative or not a whole number multiplies here as well.

Neither convention counts BatchNorm, which is folded into the convolution before it, nor biases,
sums, pooling or the updates of the neurons. :mod:`sakd_dense.energy.estimators` adds
SpikingJelly's estimates of the neuron updates.
"""

from collections.abc import Mapping

from spikingjelly.activation_based.op_counter import SimpleEnergyCostConfig

from ..runtime.errors import UserError

#: The two conventions, with their names in tables.
CONVENTIONS: Mapping[str, str] = {"strict": "strict", "count": "spike-count"}

#: Costs in pJ at 45 nm (Horowitz, "Computing's energy problem", ISSCC 2014), from SpikingJelly.
COSTS = {
    "fp32": SimpleEnergyCostConfig.fp32,
    "fp16": SimpleEnergyCostConfig.fp16,
    "int8": SimpleEnergyCostConfig.int8,
}


def cost_of(
    name: str = "fp32", e_mac: float | None = None, e_ac: float | None = None
) -> SimpleEnergyCostConfig:
    """Returns the costs called ``name``, with other pJ per MAC or AC if given.

    Raises:
        UserError: no costs have that name, or a cost is below 0.

    Example:
        >>> from sakd_dense.energy import cost_of
        >>> cost_of("fp32").e_mac_pj, cost_of("fp32", e_ac=0.1).e_ac_pj
        (4.6, 0.1)
    """
    if name not in COSTS:
        raise UserError(f"cost={name!r}: must be one of {tuple(COSTS)}")
    cost = COSTS[name]()
    for key, value in (("e_mac_pj", e_mac), ("e_ac_pj", e_ac)):
        if value is not None:
            if not value >= 0:
                raise UserError(f"{key.removesuffix('_pj')}={value}: must be at least 0 pJ")
            setattr(cost, key, value)
    return cost


def e_mac_of_levels(levels: int, e_mac_int8: float) -> float:
    """Returns the pJ per MAC of an ANN quantised to ``levels`` activation levels and 8-bit weights.

    In int8, the product of 8 bits by 8 bits takes 0.2 of the 0.23 pJ, and the sum takes 0.03 pJ
    (Horowitz). The energy of the product is assumed to be proportional to the number of bits of the
    activation, because the array of a multiplier has one row per bit.
    """
    bits = max(levels - 1, 1).bit_length()
    return e_mac_int8 * (0.2 * bits / 8 + 0.03) / 0.23
