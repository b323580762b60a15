"""Scans of handwritten digits, from which every generated set is made."""

import numpy as np

from ...runtime.errors import MissingPackageError

_SPLIT_AT = (0.6, 0.8)  # of the shuffled scans: train, val, test


def load_scans(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the scans ``[N, 8, 8]``, ink from 0 to 16, and digits ``[N]`` of each split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingPackageError(
            "The digits are made from scikit-learn's digits: pip install scikit-learn"
        ) from error
    bunch = load_digits()
    scans, targets = bunch.images.astype(np.int64), bunch.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(scans))
    parts = np.split(order, [int(len(order) * at) for at in _SPLIT_AT])
    return [(scans[part], targets[part]) for part in parts]
