"""Operations and their costs under two conventions from the literature.

``strict``: SpikingJelly's :class:`~spikingjelly.activation_based.op_counter.SynOpCounter` and
``MACCounter``, and syops-counter (Chen et al., "Training Full Spike Neural Networks via Auxiliary
Accumulation Pathway", arXiv:2301.11929). Spikes are 0 and 1; every spike is one accumulate (AC) for
each weight it meets; a layer with any other value in its input multiplies: its operations are
MACs, at every time step.

``count``: an integer n in the input, such as a sum of the SEW connection ADD, is n spikes: n ACs
for each weight it meets, as where integers become n binary spikes at inference (Luo et al.,
"Integer-Valued Training and Spike-Driven Inference Spiking Neural Network for High-Performance and
Energy-Efficient Object Detection", ECCV 2024). What is not a whole number multiplies here too.

In both, BatchNorm counts nothing (it is folded into the convolution before it), nor do biases,
sums, pooling and the neurons' own updates; :mod:`sakd_dense.energy.estimators` adds what
SpikingJelly knows of the latter.
"""

from collections.abc import Mapping

from spikingjelly.activation_based.op_counter import SimpleEnergyCostConfig

from ..runtime.errors import UserError

#: The two, and how a table calls them.
CONVENTIONS: Mapping[str, str] = {"strict": "strict", "count": "spike-count"}

#: pJ at 45 nm (Horowitz, "Computing's energy problem", ISSCC 2014), as SpikingJelly has them.
COSTS = {
    "fp32": SimpleEnergyCostConfig.fp32,
    "fp16": SimpleEnergyCostConfig.fp16,
    "int8": SimpleEnergyCostConfig.int8,
}


def cost_of(
    name: str = "fp32", e_mac: float | None = None, e_ac: float | None = None
) -> SimpleEnergyCostConfig:
    """The costs called ``name``, or other pJ a MAC and an AC.

    Raises:
        UserError: there are no costs of that name, or a cost is below 0.

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
    """The pJ a MAC of a quantised ANN whose activations have ``levels`` levels; weights of 8 bits.

    A product of 8 bits by 8 takes 0.2 of int8's 0.23 pJ, a sum 0.03 (Horowitz). The product is
    taken as proportional to the activation's bits: an assumption, as the array of a multiplier has
    a row a bit.
    """
    bits = max(levels - 1, 1).bit_length()
    return e_mac_int8 * (0.2 * bits / 8 + 0.03) / 0.23
