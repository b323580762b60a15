"""Random numbers of a data loader's worker processes."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from torch.utils.data import DataLoader


@dataclass
class SeedWorker:
    """Callable that seeds a worker by the run's seed, the epoch, the rank and the worker's number.

    MMEngine seeds workers only by seed, rank and worker number. Workers that restart each epoch
    then draw the same numbers in every epoch, and a resumed run cannot reproduce the numbers of
    persistent workers.

    Attributes:
        first: the loader's own ``worker_init_fn``, called first, or None.
        seed, epoch, rank: the seed, epoch and rank of the run.
    """

    first: Callable[[int], Any] | None
    seed: int
    epoch: int
    rank: int

    def __call__(self, worker: int) -> None:
        if self.first is not None:
            self.first(worker)
        sequence = np.random.SeedSequence([self.seed, self.epoch, self.rank, worker])
        numbers = sequence.generate_state(3).tolist()
        random.seed(numbers[0])
        np.random.seed(numbers[1])
        torch.manual_seed(numbers[2])


def seed_workers_by_epoch(loader: DataLoader, seed: int, epoch: int) -> None:
    """Restarts the workers of ``loader``, with random numbers that depend on seed and epoch.

    A loader without workers is unchanged. Persistent workers are stopped, since another run cannot
    reproduce the state of their generators.
    """
    if not getattr(loader, "num_workers", 0):
        return
    first = loader.worker_init_fn
    if isinstance(first, SeedWorker):
        first = first.first
    loader.worker_init_fn = SeedWorker(first, seed, epoch, get_rank())
    loader._iterator = None


__all__ = ["SeedWorker", "seed_workers_by_epoch"]
