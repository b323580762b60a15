"""A finite gradient where no neuron fires and the neck divides by the norm over channels (SSD).

Upstream's ``L2Norm`` takes the square root of a sum of squares. Where all channels are 0, the
derivative of the root is infinite, and every weight of the backbone gets NaN. An ANN's ReLUs are
hardly ever all 0 at a position; neurons are.
"""

import sys
from typing import Any

from torch import Tensor


def normalise_silence() -> None:
    """Makes SSD's ``L2Norm`` divide by 1 where all channels are 0, if mmdet has loaded it.

    Its values stay the same. Its gradient at such a position becomes that of a plain scaling, so
    neurons there can learn to fire. Every spiking backbone calls this function when it is built:
    the neck is built apart from it, by upstream's own class.
    """
    neck = sys.modules.get("mmdet.models.necks.ssd_neck")
    if neck is not None:
        neck.L2Norm.forward = _forward


def _forward(self: Any, x: Tensor) -> Tensor:
    squares = x.float().square().sum(1, keepdim=True)
    norm = squares.masked_fill(squares == 0, 1.0).sqrt() + self.eps
    return (self.weight[None, :, None, None].float() * x.float() / norm).type_as(x)


__all__ = ["normalise_silence"]
