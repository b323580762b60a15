"""The cases of a pairwise test: every pair, in fewer cases than the full product."""

from itertools import combinations, product

from tests.helpers.pairwise import pairwise


def test_every_pair_meets():
    values = ["ab", (1, 2, 3), [None, True], range(4)]
    cases = pairwise(*values)
    for i, j in combinations(range(len(values)), 2):
        assert {(c[i], c[j]) for c in cases} == set(product(values[i], values[j]))
    assert len(cases) < 20 < len(list(product(*values)))
