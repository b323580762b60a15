"""Few cases in which every pair of values of two parameters still meets."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any


def pairwise(*values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Returns cases, one value of each parameter, that contain every pair at least once.

    Each case is the one of the full product that contains the most pairs that are still missing.
    """
    axes = [range(len(v)) for v in values]
    places = list(combinations(range(len(values)), 2))
    missing = {(i, a, j, b) for i, j in places for a in axes[i] for b in axes[j]}
    every = list(product(*axes))
    chosen = []
    while missing:
        case = max(every, key=lambda c: sum((i, c[i], j, c[j]) in missing for i, j in places))
        missing -= {(i, case[i], j, case[j]) for i, j in places}
        chosen.append(case)
    return [tuple(v[k] for v, k in zip(values, case, strict=True)) for case in chosen]
