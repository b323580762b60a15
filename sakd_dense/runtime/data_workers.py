"""The random numbers of a data loader's worker processes."""

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
    """Seeds a worker by the run's seed, the epoch, the rank and its number.

    MMEngine seeds workers by seed, rank and number: workers that are made anew each epoch draw the
    same in every epoch, and those that persist draw what no resumed run can draw again.

    Attributes:
        first: what the loader would call, called before.
        seed, epoch, rank: of the run.

    Example:
        >>> import random
        >>> from sakd_dense.runtime.data_workers import SeedWorker
        >>> SeedWorker(None, seed=0, epoch=3, rank=0)(1)
        >>> number = random.random()
        >>> SeedWorker(None, seed=0, epoch=3, rank=0)(1)
        >>> random.random() == number
        True
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
    """The workers of ``loader`` start anew, and draw by seed and epoch; without workers: nothing.

    Workers that persist are ended: their generators stand where no other run finds them.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> from sakd_dense.runtime.data_workers import seed_workers_by_epoch
        >>> loader = DataLoader([0, 1], num_workers=1)
        >>> seed_workers_by_epoch(loader, seed=0, epoch=3)
        >>> loader.worker_init_fn
        SeedWorker(first=None, seed=0, epoch=3, rank=0)
    """
    if not getattr(loader, "num_workers", 0):
        return
    first = loader.worker_init_fn
    if isinstance(first, SeedWorker):
        first = first.first
    loader.worker_init_fn = SeedWorker(first, seed, epoch, get_rank())
    loader._iterator = None


__all__ = ["SeedWorker", "seed_workers_by_epoch"]
