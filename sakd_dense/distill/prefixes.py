"""Teaching the prefixes: the features at every t < T lie in the pass that is run anyway.

The running mean of the first t steps is what the backbone would give with ``time_steps=t``. The
student's own neck and head run on it once more, and are taught there too, so that one checkpoint
serves every T.

With ``prefixes='image'`` there is no second pass: each image of a batch is read at a t of its own,
some at T, some earlier, through one neck, one head and one loss; labels and teacher teach all of
them where they were read.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..neurons.clock import Clock
from ..runtime.errors import UserError

KINDS = ("random", "all", "image")


def check(prefixes: str | int | None) -> None:
    """Raises UserError unless ``prefixes`` is None, one of ``KINDS`` or a t >= 1."""
    steps = prefixes if isinstance(prefixes, int) and not isinstance(prefixes, bool) else 0
    if prefixes is not None and prefixes not in KINDS and steps < 1:
        raise UserError(
            f"SAKDHook: prefixes={prefixes!r}: must be None, {', '.join(map(repr, KINDS))} or a "
            "number of steps >= 1"
        )


def draw(prefixes: str | int | None, time_steps: int, seed: int, iteration: int) -> Sequence[int]:
    """The prefix lengths to teach in this iteration, each in 1..T-1.

    Drawn from seed and iteration alone: the same on every process (one graph for DDP), and the
    same after a resume.
    """
    if prefixes in (None, "image") or time_steps < 2:
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


def draw_reads(
    share: float, seed: int, iteration: int, rank: int = 0
) -> Callable[[int, int], Tensor]:
    """(B, T) -> ``[B]``: where each image of this iteration is read; ``share`` of them at t < T.

    Each image is drawn by itself, so that of a batch of one every other iteration is read early.
    A call with the same B and T gives the same.

    Args:
        share: of the images that are read at a random t in 1..T-1.
        seed: of the run.
        iteration: that is running.
        rank: of this process, which draws for itself.
    """

    def reads(batch: int, time_steps: int) -> Tensor:
        seeds = (seed * 1_000_003 + iteration) * 1_009 + rank
        generator = torch.Generator().manual_seed(seeds)
        early = torch.rand(batch, generator=generator) < share
        t = torch.randint(1, max(time_steps, 2), (batch,), generator=generator)
        return torch.where(early, t, time_steps)

    return reads


@contextmanager
def read_at(model: nn.Module, reads: Callable[[int, int], Tensor]) -> Iterator[None]:
    """Every spiking part of ``model`` gives the rates of each image up to where ``reads`` says."""
    clocks = [m.clock for m in model.modules() if isinstance(getattr(m, "clock", None), Clock)]
    for clock in clocks:
        clock.reads = reads
    try:
        yield
    finally:
        for clock in clocks:
            clock.reads = None


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
