"""Prophesee's EVT 3.0 format: words of 16 bits, each of which encodes a change.

Words set the row (``ADDR_Y``) and the time in two parts of 12 bits (``TIME_HIGH``, ``TIME_LOW``).
Others add one event in a column (``ADDR_X``) or up to 12 adjacent events (``VECT_BASE_X``, then
``VECT_12`` or ``VECT_8``, one bit per event):
https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html
"""

from dataclasses import dataclass

import numpy as np

from .evt2 import unwrap_counter
from .stream import Events

WORD = np.dtype("<u2")
_ADDR_Y, _ADDR_X, _BASE_X, _VECT_12, _VECT_8, _LOW, _HIGH = 0, 2, 3, 4, 5, 6, 8
_WIDTH = np.zeros(16, np.int64)
_WIDTH[[_VECT_12, _VECT_8]] = 12, 8
_MASK = np.full(16, 4095, WORD)  # the bits of a word that may be events
_MASK[_VECT_8] = 255


@dataclass(frozen=True)
class State:
    """State of the decoder: the meaning of a word depends on the words before it.

    Attributes:
        high: upper bits of the time, unwrapped over overflows (one in 16.8 s); -1 before the
            first of them.
        low: lower bits of the time.
        y: the row; -1 before the first.
        x: column at which the next vector begins.
        p: polarity of the next vector.
    """

    high: int = -1
    low: int = 0
    y: int = -1
    x: int = 0
    p: int = 0

    @property
    def t(self) -> int:
        """The earliest time that a later event can have, in microseconds."""
        return (max(self.high, 0) << 12) | self.low


def advance(words: np.ndarray, state: State) -> State:
    """Returns the state after ``words``."""
    kind, value = words >> 12, words & 4095
    base = _bases(kind, value, state)[-1]
    return State(
        high=int(unwrap_counter(value[kind == _HIGH], state.high, 12)[-1]),
        low=_last(value[kind == _LOW], state.low),
        y=_last(value[kind == _ADDR_Y] & 2047, state.y),
        x=int(base + _WIDTH[kind].sum()),
        p=_last(value[kind == _BASE_X] >> 11, state.p),
    )


def decode(words: np.ndarray, state: State) -> Events:
    """Decodes the events in ``words``.

    Events before the first upper bits of the time, or before the first row, are left out.

    Args:
        words: ``[N]`` uint16.
        state: the state after the words before.
    """
    kind, value = words >> 12, words & 4095
    places = np.flatnonzero((kind == _ADDR_X) | (kind == _VECT_12) | (kind == _VECT_8))

    def latest(of: int, values: np.ndarray) -> np.ndarray:
        # `values` begins with the state's value, which holds until the first word of this kind.
        return values[np.cumsum(kind == of)[places]]

    high = latest(_HIGH, unwrap_counter(value[kind == _HIGH], state.high, 12))
    low = latest(_LOW, _after(state.low, value[kind == _LOW]))
    y = latest(_ADDR_Y, _after(state.y, value[kind == _ADDR_Y] & 2047))
    # A single event is a vector of one.
    kind_of, value_of = kind[places], value[places]
    single = kind_of == _ADDR_X
    vector_x = latest(_BASE_X, _bases(kind, value, state)) + _begun(kind)[places]
    x = np.where(single, value_of & 2047, vector_x)
    vector_p = latest(_BASE_X, _after(state.p, value[kind == _BASE_X] >> 11))
    p = np.where(single, value_of >> 11, vector_p)
    bits = value_of & _MASK[kind_of]
    bits[single] = 1
    bits[(high < 0) | (y < 0)] = 0
    # 16 bits per word, the lowest first.
    set_bits = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
    word, bit = set_bits >> 4, set_bits & 15
    return Events(
        t=((high << 12) | low)[word],
        x=(x[word] + bit).astype(np.int32),
        y=y.astype(np.int32)[word],
        p=p.astype(np.uint8)[word],
    )


def _begun(kind: np.ndarray) -> np.ndarray:
    """Returns the number of columns that the vectors before each word have covered."""
    widths = _WIDTH[kind]
    return np.cumsum(widths) - widths


def _bases(kind: np.ndarray, value: np.ndarray, state: State) -> np.ndarray:
    """Returns the column of the state and of each BASE_X, less the columns covered until then."""
    is_base = kind == _BASE_X
    return _after(state.x, (value[is_base] & 2047) - _begun(kind)[is_base])


def _after(before: int, values: np.ndarray) -> np.ndarray:
    return np.concatenate([[before], values.astype(np.int64)])


def _last(values: np.ndarray, before: int) -> int:
    return int(values[-1]) if len(values) else before


__all__ = ["WORD", "State", "advance", "decode"]
