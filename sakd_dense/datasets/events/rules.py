"""Rules by which Prophesee's evaluation excludes boxes.

The evaluation excludes boxes of the first half second, in which a network has seen too little, and
small boxes. The rules apply to true boxes and to predictions alike. Source: Perot et al., "Learning
to Detect Objects with a 1 Megapixel Event Camera", NeurIPS 2020, and ``filter_boxes`` in the
toolbox, https://github.com/prophesee-ai/prophesee-automotive-dataset-toolbox,
``src/io/box_filtering.py`` (30 and 10 pixels for Gen1's sensor, 60 and 20 for the one of 1 Mpx).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.errors import UserError


@dataclass(frozen=True)
class BoxRules:
    """Rules that keep a box if it is later than ``skip`` and long enough in diagonal and sides.

    Attributes:
        skip: microseconds to skip at the beginning of a recording; a box at exactly this time is
            excluded.
        diagonal: shortest diagonal that is kept, in pixels of the sensor.
        side: shortest side that is kept, in pixels of the sensor.

    Example:
        >>> from sakd_dense.datasets import BoxRules
        >>> rules = BoxRules.of("gen1")
        >>> rules.skip, rules.diagonal, rules.side
        (500000, 30, 10)
        >>> rules.takes_time(400_000)
        False
    """

    skip: int = -1
    diagonal: float = 0
    side: float = 0

    @classmethod
    def of(cls, rules: "str | Mapping[str, Any] | BoxRules | None") -> "BoxRules | None":
        """Returns the rules of a name or of a dict of the attributes; None gives None.

        Raises:
            UserError: the name or an attribute is unknown.
        """
        if rules is None or isinstance(rules, BoxRules):
            return rules
        if isinstance(rules, str):
            if rules not in KNOWN:
                raise UserError(
                    f"rules={rules!r}: must be one of {tuple(KNOWN)}, or a dict of numbers"
                )
            return KNOWN[rules]
        try:
            return cls(**rules)
        except TypeError as error:
            names = tuple(cls.__dataclass_fields__)
            raise UserError(
                f"rules={dict(rules)}: the known rules are {names} ({error})"
            ) from error

    def takes_time(self, t: int) -> bool:
        """Returns whether boxes at ``t`` (microseconds) are kept."""
        return t > self.skip

    def takes_boxes(self, width: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Returns a mask ``[N]`` bool of the boxes that their sides and diagonal keep."""
        long = width**2 + height**2 >= self.diagonal**2
        return long & (width >= self.side) & (height >= self.side)


ALL = BoxRules()
KNOWN = {
    "gen1": BoxRules(skip=500_000, diagonal=30, side=10),
    "1mpx": BoxRules(skip=500_000, diagonal=60, side=20),
}

__all__ = ["ALL", "KNOWN", "BoxRules"]
