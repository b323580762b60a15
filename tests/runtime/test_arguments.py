"""Arguments are checked by their annotations."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest
from mmengine.config import ConfigDict

from sakd_dense.runtime.arguments import check, typed
from sakd_dense.runtime.errors import UserError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3], [True, 1.0, "1", None, 2**70]),
        (float, [0, 1.5, -2], [True, NAN, INF, "1", None, 2**70]),
        (bool, [True, False], [0, 1, None, "True"]),
        (str, ["", "a"], [None, 1, b"a"]),
        (int | None, [1, None], ["1", False]),
        (float | Mapping[str, Any], [1, {}, ConfigDict(a=1)], ["1", [1]]),
        (Sequence[int], [[], (1, 2)], [[1.0], "12", 3, [True], {1: 2}]),
        (tuple[int, int], [(1, 2), [1, 2]], [(1,), (1, 2, 3), (1, "2")]),
        (dict[str, Any], [{}, ConfigDict(a=1)], [{1: 2}, [], None]),
        (list[dict[str, Any]], [[], [{}]], [[1], {}, "a"]),
        (Literal["a", 1], ["a", 1], ["b", True, 2]),
        (Any, [1, None, "a", np.ones(2)], []),
    ],
)
def test_what_an_annotation_takes(hint, good, bad):
    for value in good:
        check("A: b", value, hint)
    for value in bad:
        with pytest.raises(UserError, match="A: b="):
            check("A: b", value, hint)


class Thing:
    @typed
    def __init__(self, size: int, *rest: int, names: Sequence[str] = (), **more: Any) -> None:
        self.size = size


def test_an_init_names_class_argument_value_and_what_it_may_be():
    assert Thing(3, 4, names=["a"], other="b").size == 3
    with pytest.raises(UserError, match=r"^Thing: size='3': must be an integer$"):
        Thing("3")
    with pytest.raises(UserError, match=r"^Thing: names=\[1\]: must be a list, each a string$"):
        Thing(3, names=[1])
    with pytest.raises(TypeError):  # Python's own
        Thing()
