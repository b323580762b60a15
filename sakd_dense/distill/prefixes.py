"""Prefixes: the first t < T time steps of the student's forward, taught beside T.

One forward of the backbone provides the features at every t: the running mean of the first t steps
equals the backbone's output with ``time_steps=t``. One checkpoint that is taught at them serves
every T.

``prefixes='image'`` reads each image of a batch at its own t, some at T, some earlier. Neck, head
and loss run once, and labels and teacher teach each image at its t. The features of all images are
taught at one more t < T, which costs a mean over time. ``'random'`` runs the student's own neck and
head a second time at the prefix and teaches them there.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..config.types import package_of
from ..neurons.batchnorm import BatchNorm
from ..neurons.forward_state import forward_states, mean_up_to
from ..runtime.errors import UserError
from ..runtime.patching import temporarily
from .arguments import LevelTwo

#: Numbers that separate the streams of t and D, which are drawn in the same iterations.
_T, _D = 0, 0x9E3779B97F4A7C15


def resolve_prefixes(options: LevelTwo, student: nn.Module) -> LevelTwo:
    """Returns ``options`` with the kind of prefixes that ``'auto'`` stands for.

    Neck and head of a detector or segmentor cost up to half of a step, and reading each image at a
    t of its own gives what a second pass through them gives. The second pass was better for
    classifiers, whose head costs little, and for event frames, of which an early t sees only a part
    (benchmarks/notebook).
    """
    if options.prefixes != "auto":
        return options
    frames = getattr(getattr(student, "data_preprocessor", None), "time", None) == "first"
    second_pass = frames or package_of(type(student)) == "mmpretrain"
    return replace(options, prefixes="random" if second_pass else "image")


def check_causal(options: LevelTwo, backbone: nn.Module) -> None:
    """Raises UserError for prefixes of a backbone whose spikes at t depend on later inputs."""
    if options.prefixes is not None and not backbone.causal:
        raise UserError(
            f"SAKDHook: prefixes={options.prefixes!r} needs neurons whose spikes at t depend only "
            "on the input up to t; set prefixes=None, or use another neuron"
        )


def sample_prefix(time_steps: int, seed: int, iteration: int) -> int | None:
    """Returns the prefix length t to teach in this iteration, in 1..T-1; None at T = 1.

    The draw depends only on seed and iteration. It is the same on every process (one graph for
    DDP) and the same after a resume.
    """
    if time_steps < 2:
        return None
    return _random(1, time_steps, seed, iteration, _T)


def sample_count(counts: Sequence[int], seed: int, iteration: int) -> int:
    """Returns the D to teach in this iteration, drawn like a prefix, and independently of it."""
    return counts[_random(0, len(counts), seed, iteration, _D)]


def _random(low: int, high: int, seed: int, iteration: int, stream: int) -> int:
    seeds = ((seed * 1_000_003 + iteration) ^ stream) % 2**63
    generator = torch.Generator().manual_seed(seeds)
    return int(torch.randint(low, high, (1,), generator=generator))


def sample_read_steps(
    share: float, seed: int, iteration: int, rank: int = 0
) -> Callable[[int, int], Tensor]:
    """Returns a function that draws the time step up to which each image is read.

    The function maps (B, T) to ``[B]``, with t < T for a share ``share`` of the images. Each image
    is drawn independently, so a batch of one is read early in that share of the iterations. Calls
    with the same B and T return the same.

    Args:
        share: share of the images that are read at a random t in 1..T-1.
        seed: seed of the run.
        iteration: current iteration.
        rank: rank of this process; each process draws separately. Default: 0.
    """

    def read_until(batch: int, time_steps: int) -> Tensor:
        seeds = (seed * 1_000_003 + iteration) * 1_009 + rank
        generator = torch.Generator().manual_seed(seeds)
        early = torch.rand(batch, generator=generator) < share
        t = torch.randint(1, max(time_steps, 2), (batch,), generator=generator)
        return torch.where(early, t, time_steps)

    return read_until


def read_at(
    model: nn.Module, read_until: Callable[[int, int], Tensor]
) -> AbstractContextManager[None]:
    """Makes the spiking parts of ``model`` read each image at its time step from ``read_until``.

    The rates of an image are then those up to that step.
    """
    return temporarily(forward_states(model), read_until=read_until)


def norms_as_in_test(model: nn.Module, backbone: nn.Module) -> AbstractContextManager[None]:
    """Makes neck and head normalise by their running statistics, without updating them.

    At test time a prefix is normalised by the statistics of full T. The same holds here, and the
    statistics stay those of full T.
    """
    inside = set(backbone.modules())
    norms = (m for m in model.modules() if isinstance(m, BatchNorm) and m not in inside)
    return temporarily(norms, training=False)


def prefix_rates(sequences: tuple[Tensor, ...], t: int) -> tuple[Tensor, ...]:
    """Averages the first t steps of every stage, ``[T, B, C, H, W]`` -> rates ``[B, C, H, W]``."""
    return tuple(mean_up_to(s, torch.full((s.shape[1],), t)) for s in sequences)
