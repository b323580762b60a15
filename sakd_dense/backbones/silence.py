"""A finite gradient where no neuron fires and the neck divides by the norm over channels (SSD).

Upstream's ``L2Norm`` takes the square root of a sum of squares. Where all channels are 0, the
derivative of the root is infinite, and every weight of the backbone gets NaN. An ANN's ReLUs are
hardly ever all 0 at a position; neurons are.
"""

from typing import Any

from mmdet.models.necks.ssd_neck import L2Norm
from torch import Tensor


def normalise_silence() -> None:
    """Makes SSD's ``L2Norm`` divide by 1 where all channels are 0, in the ANN and in the SNN.

    Its values stay the same. Its gradient at such a position becomes that of a plain scaling, so
    neurons there can learn to fire.
    """
    L2Norm.forward = _forward


def _forward(self: Any, x: Tensor) -> Tensor:
    squares = x.float().square().sum(1, keepdim=True)
    norm = squares.masked_fill(squares == 0, 1.0).sqrt() + self.eps
    return (self.weight[None, :, None, None].float() * x.float() / norm).type_as(x)


__all__ = ["normalise_silence"]
