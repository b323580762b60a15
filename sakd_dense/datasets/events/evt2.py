"""Prophesee's EVT 2.0 format: words of 32 bits, one per event.

https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html
"""

from dataclasses import dataclass

import numpy as np

from .stream import Events

WORD = np.dtype("<u4")
_TIME_HIGH = 8
_HIGH_BITS = 28


@dataclass(frozen=True)
class State:
    """State of the decoder: the meaning of a word depends on the words before it.

    Attributes:
        high: upper bits of the time, unwrapped over overflows; -1 before the first of them.
    """

    high: int = -1

    @property
    def t(self) -> int:
        """The earliest time that a later event can have, in microseconds."""
        return max(self.high, 0) << 6


def advance(words: np.ndarray, state: State) -> State:
    """Returns the state after ``words``."""
    highs = words[words >> 28 == _TIME_HIGH] & (1 << _HIGH_BITS) - 1
    return State(int(unwrap_counter(highs, state.high, _HIGH_BITS)[-1]))


def decode(words: np.ndarray, state: State) -> Events:
    """Decodes the events in ``words``.

    Events before the first upper bits of the time have no time and are left out.

    Args:
        words: ``[N]`` uint32.
        state: the state after the words before.
    """
    kind = words >> 28
    is_high = kind == _TIME_HIGH
    places = np.flatnonzero(kind <= 1)
    highs = unwrap_counter(words[is_high] & (1 << _HIGH_BITS) - 1, state.high, _HIGH_BITS)
    high = highs[np.cumsum(is_high)[places]]
    places, high = places[high >= 0], high[high >= 0]
    word = words[places]
    return Events(
        t=(high << 6) | (word >> 22 & 63).astype(np.int64),
        x=(word >> 11 & 2047).astype(np.int32),
        y=(word & 2047).astype(np.int32),
        p=kind[places].astype(np.uint8),
    )


def unwrap_counter(values: np.ndarray, before: int, bits: int) -> np.ndarray:
    """Unwraps the values of a counter of ``bits`` bits, so that it does not overflow.

    Args:
        values: ``[N]``, values of the counter.
        before: the value before them, already unwrapped; -1 if there is none.
        bits: width of the counter. A fall by more than half of ``2**bits`` is an overflow.

    Returns:
        ``[before, *values]`` as int64, unwrapped.
    """
    period = 1 << bits
    known = before if before >= 0 else int(values[0]) if len(values) else -1
    series = np.concatenate([[known % period if known >= 0 else -1], values.astype(np.int64)])
    overflows = np.cumsum(np.diff(series) < -(period // 2))
    series[1:] += overflows * period + (known - known % period if known >= 0 else 0)
    series[0] = before
    return series


__all__ = ["WORD", "State", "advance", "unwrap_counter", "decode"]
