"""Small recordings in every format that is read, written word by word."""

from pathlib import Path

import numpy as np

from sakd_dense.datasets.events import BOX, Events, write_boxes, write_dat

SIZE = (20, 30)  # height, width


def some_events(count: int = 2000, stop: int = 300_000, seed: int = 0, begin: int = 0) -> Events:
    """Events in the order of time, all over a sensor of :data:`SIZE`."""
    rng = np.random.default_rng(seed)
    t = begin + np.sort(rng.integers(0, stop, count))
    x, y, p = (rng.integers(0, most, count) for most in (SIZE[1], SIZE[0], 2))
    return Events(t.astype(np.int64), x.astype(np.int32), y.astype(np.int32), p.astype(np.uint8))


def write_npy(path: Path, events: Events) -> None:
    """As PEDRo has it."""
    np.save(path, np.stack([events.t, events.x, events.y, events.p], axis=1))


def write_npz(path: Path, events: Events) -> None:
    """As SpikingJelly writes events."""
    np.savez(path, t=events.t, x=events.x, y=events.y, p=events.p)


def write_evt2(path: Path, events: Events) -> None:
    """One word an event, and one for each change of the upper bits of the time."""
    words, high = [], None
    for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | (high & (1 << 28) - 1))
        words.append(int(p) << 28 | (int(t) & 63) << 22 | int(x) << 11 | int(y))
    _write_raw(path, "% evt 2.0\n", np.array(words, "<u4"))


def write_evt3(path: Path, events: Events, header: str = "% evt 3.0\n") -> None:
    """Neighbours in a row of the same time and polarity become a vector, the others single ones."""
    words: list[int] = []
    high = low = y = -1
    i, n = 0, len(events)
    while i < n:
        t, row = int(events.t[i]), int(events.y[i])
        if t >> 12 != high:
            high, low = t >> 12, -1
            words.append(8 << 12 | high & 4095)
        if t & 4095 != low:
            low = t & 4095
            words.append(6 << 12 | low)
        if row != y:
            y = row
            words.append(y)
        last = i
        while last + 1 < n and _beside(events, last, last + 1):
            last += 1
        for begin in range(i, last + 1, 12):
            run = min(last + 1 - begin, 12)
            address = int(events.p[begin]) << 11 | int(events.x[begin])
            if run == 1:
                words.append(2 << 12 | address)
            else:
                if begin == i:  # later vectors begin where the one before has ended
                    words.append(3 << 12 | address)
                kind = 5 if run <= 8 and begin + run > last else 4
                words.append(kind << 12 | (1 << run) - 1)
        i = last + 1
    _write_raw(path, header, np.array(words, "<u2"))


def _beside(events: Events, i: int, j: int) -> bool:
    same = all(getattr(events, name)[i] == getattr(events, name)[j] for name in "typ")
    return bool(same and events.x[j] == events.x[i] + 1)


def _write_raw(path: Path, header: str, words: np.ndarray) -> None:
    path.write_bytes(f"% Date 2026-01-01\n{header}".encode() + words.tobytes())


def dat(path: Path, events: Events) -> None:
    """Prophesee's DAT of a sensor of :data:`SIZE`."""
    write_dat(path, events, SIZE)


#: Ending -> a function that writes events into a file of it.
WRITERS = {
    "a.dat": dat,
    "b.npy": write_npy,
    "c.npz": write_npz,
    "evt2.raw": write_evt2,
    "evt3.raw": write_evt3,
}


def boxes_at(*rows: tuple) -> np.ndarray:
    """Boxes of (t, x, y, w, h, class)."""
    boxes = np.zeros(len(rows), BOX)
    for name, values in zip(
        ("t", "x", "y", "w", "h", "class_id"), zip(*rows, strict=True), strict=True
    ):
        boxes[name] = values
    return boxes


def write_recording(folder: Path, name: str, events: Events, boxes: np.ndarray) -> None:
    """A recording and its boxes in Prophesee's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dat(folder / f"{name}_td.dat", events, SIZE)
    write_boxes(folder / f"{name}_bbox.npy", boxes)
