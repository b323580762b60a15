"""Teaching the prefixes: the features at every t < T lie in the pass that is run anyway.

The running mean of the first t steps is what the backbone would give with ``time_steps=t``. The
student's own neck and head run on it once more, and are taught there too, so that one checkpoint
serves every T.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..runtime.errors import UserError


def check(prefixes: str | int | None) -> None:
    """Raises UserError unless ``prefixes`` is None, ``'random'``, ``'all'`` or a t >= 1."""
    steps = prefixes if isinstance(prefixes, int) and not isinstance(prefixes, bool) else 0
    if prefixes not in (None, "random", "all") and steps < 1:
        raise UserError(
            f"SAKDHook: prefixes={prefixes!r}: take None, 'random', 'all' or a number of steps >= 1"
        )


def draw(prefixes: str | int | None, time_steps: int, seed: int, iteration: int) -> Sequence[int]:
    """The prefix lengths to teach in this iteration, each in 1..T-1.

    Drawn from seed and iteration alone: the same on every process (one graph for DDP), and the
    same after a resume.
    """
    if prefixes is None or time_steps < 2:
        return ()
    if prefixes == "all":
        return range(1, time_steps)
    if isinstance(prefixes, int):
        return (prefixes,) if prefixes < time_steps else ()
    return (_random(1, time_steps, seed, iteration),)


def draw_count(counts: Sequence[int], seed: int, iteration: int) -> int:
    """The D to teach in this iteration, drawn like a prefix."""
    return counts[_random(0, len(counts), seed, iteration)]


def _random(low: int, high: int, seed: int, iteration: int) -> int:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + iteration)
    return int(torch.randint(low, high, (1,), generator=generator))


@contextmanager
def norms_as_in_test(model: nn.Module, backbone: nn.Module) -> Iterator[None]:
    """Neck and head normalise by their running statistics and do not update them.

    At test time a prefix meets the statistics of full T; so it does here, and the statistics stay
    those of full T.
    """
    inside = set(backbone.modules())
    norms = [
        m for m in model.modules() if isinstance(m, _BatchNorm) and m.training and m not in inside
    ]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True


def prefix_rates(sequences: tuple[Tensor, ...], t: int) -> tuple[Tensor, ...]:
    """``[T, B, C, H, W]`` of every stage -> the rates ``[B, C, H, W]`` of the first t steps."""
    return tuple(s[:t].mean(0) for s in sequences)
