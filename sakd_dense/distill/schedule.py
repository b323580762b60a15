"""The weight of a term, constant or changing over the run."""

import math
from collections.abc import Mapping
from typing import Any

from ..runtime.errors import UserError


class Weight:
    """Constant weight, or a weight that changes linearly over the run.

    ``Weight(0.5)`` is constant. ``Weight(dict(start=1.0, stop=0.0, begin=0.5, end=1.0))`` is
    *start* up to the fraction *begin* of the run, then changes linearly to *stop* at the fraction
    *end*. Defaults: ``begin=0.0``, ``end=1.0``.
    """

    def __init__(self, value: float | Mapping[str, Any], name: str) -> None:
        given = dict(value) if isinstance(value, Mapping) else dict(start=value, stop=value)
        args = dict(begin=0.0, end=1.0)
        args.update(given)
        unknown = sorted(set(args) - {"start", "stop", "begin", "end"})
        if unknown or "start" not in args or "stop" not in args:
            raise UserError(
                f"{name}={value!r}: must be a number or "
                "dict(start=1.0, stop=0.0, begin=0.5, end=1.0)"
            )
        for key, number in args.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise UserError(f"{name}: {key}={number!r} is not a number")
            if not math.isfinite(number) or number < 0:
                raise UserError(f"{name}: {key}={number!r} must be finite and not negative")
        if not args["begin"] < args["end"] <= 1:
            raise UserError(
                f"{name}: begin={args['begin']} must be less than end={args['end']}, both as "
                "fractions of the run"
            )
        self.start, self.stop = float(args["start"]), float(args["stop"])
        self.begin, self.end = float(args["begin"]), float(args["end"])

    @property
    def off(self) -> bool:
        return self.start == self.stop == 0

    def at(self, progress: float) -> float:
        """Returns the weight after the fraction ``progress`` (0..1) of the run's iterations."""
        share = (progress - self.begin) / (self.end - self.begin)
        return self.start + (self.stop - self.start) * min(max(share, 0.0), 1.0)
