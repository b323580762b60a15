"""Readers of recordings: every format gives the same events, by window, and refuses by name."""

from pathlib import Path

import numpy as np
import pytest

from sakd_dense.datasets.events import Events, RawFile, open_events, read_boxes, sort_dat, write_dat
from sakd_dense.datasets.events.evt2 import unwrap_counter
from sakd_dense.runtime.errors import UserError
from tests.helpers.recordings import (
    SIZE,
    WRITERS,
    boxes_at,
    some_events,
    write_evt2,
    write_evt3,
    write_recording,
)

WINDOWS = [
    (0, 10**9),
    (100_000, 150_000),
    (0, 1),
    (-500, 1000),
    (299_000, 10**9),
    (400_000, 500_000),
]


def same(first: Events, second: Events) -> None:
    for name in "txyp":
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)


def written(folder: Path, name: str, events: Events) -> Path:
    WRITERS[name](folder / name, events)
    return folder / name


@pytest.mark.parametrize("name", WRITERS)
def test_a_window_holds_its_events_and_no_others(name, tmp_path):
    events = some_events()
    file = open_events(written(tmp_path, name, events))
    for start, stop in WINDOWS:
        expected = events[(events.t >= start) & (events.t < stop)]
        same(file.window(start, stop), expected)
    assert len(file.window(400_000, 500_000)) == 0 and len(file.window(5, 5)) == 0


@pytest.mark.parametrize("name", WRITERS)
def test_the_last_events_before_a_time(name, tmp_path):
    events = some_events()
    file = open_events(written(tmp_path, name, events))
    for stop, count in ((150_000, 30), (150_000, 5000), (0, 10), (10**9, 7)):
        same(file.before(stop, count), events[events.t < stop][-count:])


@pytest.mark.parametrize("name", WRITERS)
def test_a_recording_without_events(name, tmp_path):
    file = open_events(written(tmp_path, name, Events.none()))
    assert len(file.window(0, 10**9)) == 0 and len(file.before(10, 5)) == 0


@pytest.mark.parametrize("write,period", [(write_evt2, 1 << 34), (write_evt3, 1 << 24)])
@pytest.mark.parametrize("part", [16, 1 << 16])
def test_the_clock_of_a_raw_file_begins_anew(write, period, part, tmp_path):
    """EVT 3.0 counts 16.8 s and EVT 2.0 4.8 h: what is later than that stays later."""
    # A camera sends the upper bits all the time: steps of less than half a period.
    begins = [period * tenths // 10 for tenths in (5, 9, 13, 17, 21)]
    events = Events.joined([some_events(200, seed=b % 7, begin=b) for b in begins])
    write(tmp_path / "a.raw", events)
    file = RawFile(tmp_path / "a.raw", part)
    same(file.window(0, 4 * period), events)
    for begin in begins:
        same(file.window(begin, begin + 100_000), events.between(begin, begin + 100_000))


def test_vectors_of_evt3_cross_the_parts_that_are_decoded(tmp_path):
    columns = np.arange(30)
    events = Events(np.full(30, 7), columns, np.full(30, 3), np.ones(30, int))
    write_evt3(tmp_path / "a.raw", events)
    for part in (1, 2, 3, 5):
        same(RawFile(tmp_path / "a.raw", part).window(0, 10), events)


def test_a_counter_is_counted_on():
    assert unwrap_counter(np.array([250, 255, 3, 2, 250, 1]), 200, 8).tolist() == [
        *(200, 250, 255, 259, 258, 506, 513)
    ]
    assert unwrap_counter(np.array([5, 6]), -1, 8).tolist() == [-1, 5, 6]
    assert unwrap_counter(np.array([], int), 300, 8).tolist() == [300]


@pytest.mark.parametrize("header", ["% evt 3.0\n", "% format EVT3;height=20;width=30\n% end\n"])
def test_headers_of_raw_files(header, tmp_path):
    write_evt3(tmp_path / "a.raw", some_events(50), header)
    file = open_events(tmp_path / "a.raw")
    assert len(file.window(0, 10**9)) == 50
    assert file.size == (SIZE if "height" in header else None)


def test_a_dat_file_is_not_read_whole(tmp_path, monkeypatch):
    """A search and the events of the window: what else there is stays on the disk."""
    write_dat(tmp_path / "a.dat", some_events(100_000), SIZE)
    file = open_events(tmp_path / "a.dat")
    looked_at = []

    class Watched:
        def __len__(self):
            return len(file._events)

        def __getitem__(self, i):
            looked_at.append(i)
            return file._events["t"][i]

    monkeypatch.setattr(file, "_t", Watched())
    found = file.window(150_000, 151_000)
    assert 0 < len(found) < 1000 and len(looked_at) < 40


@pytest.mark.parametrize("name", ["b.npy", "c.npz"])
def test_small_files_are_put_in_order(name, tmp_path):
    events = some_events(100)
    shuffled = events[np.random.default_rng(1).permutation(100)]
    found = open_events(written(tmp_path, name, shuffled)).window(0, 10**9)
    assert found.ordered and sorted(found.t) == sorted(events.t)


def test_a_mapped_file_out_of_order_is_named_and_can_be_sorted(tmp_path):
    events = some_events(100)
    order = np.r_[0:40, 60:80, 40:60, 80:100]
    write_dat(tmp_path / "a.dat", events[order], SIZE)
    with pytest.raises(ValueError, match=rf"a\.dat: .* t = {events.t[79]} us .*sort_dat"):
        open_events(tmp_path / "a.dat").window(0, 10**9)
    sort_dat(tmp_path / "a.dat", tmp_path / "sorted.dat")
    same(open_events(tmp_path / "sorted.dat").window(0, 10**9), events)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    "name,size,message",
    [
        ("a.dat", -3, "ends within an event"),
        ("evt2.raw", -3, "ends within a word"),
        ("evt3.raw", -1, "ends within a word"),
        ("b.npy", -3, "is not a readable array"),
        ("c.npz", 100, "is not a readable array"),
        ("a.dat", 84, "events have type"),
        ("a.dat", 0, "not a DAT file of version 2"),
        ("evt3.raw", 0, "RAW of an unknown format"),
    ],
)
def test_truncated_files_are_named(name, size, message, tmp_path):
    path = written(tmp_path, name, some_events(50))
    if size == 84:  # behind the header's lines
        size = path.read_bytes().index(b"Width 30\n") + len(b"Width 30\n")
    cut(path, size)
    with pytest.raises(ValueError, match=rf"{name}.*{message}|{message}"):
        open_events(path)


@pytest.mark.parametrize(
    "file,content,message",
    [
        ("a.txt", b"", "events are read from .dat"),
        ("a.raw", b"% evt 2.1\n", "RAW of evt 2.1"),
        ("a.dat", b"% Version 1\n\x00\x08", "version 1"),
        ("a.dat", b"% Version 2\n\x0e\x08", "have type 0e"),
    ],
)
def test_what_is_not_read_is_named(file, content, message, tmp_path):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        open_events(tmp_path / file)


def test_arrays_of_something_else(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 5)))
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match=rf"{name} contains no events"):
            open_events(tmp_path / name)
    for name in ("none.npy", "none.dat", "none.raw"):
        with pytest.raises(FileNotFoundError, match=rf"{name}"):
            open_events(tmp_path / name)
    with pytest.raises(ValueError, match="x ranges from 0 to 20000: DAT stores 0 to 16383"):
        write_dat(tmp_path / "a.dat", Events(*np.array([[0, 1], [0, 20000], [0, 1], [0, 1]])), SIZE)


def test_boxes_by_time_stamp(tmp_path):
    boxes = boxes_at((200, 1, 2, 3, 4, 1), (100, 5, 6, 7, 8, 0), (200, 2, 2, 2, 2, 0))
    write_recording(tmp_path, "a", some_events(10), boxes)
    found = read_boxes(tmp_path / "a_bbox.npy")
    assert {t: len(b) for t, b in found.items()} == {100: 1, 200: 2} and list(found) == [100, 200]
    assert found[200]["x"].tolist() == [1, 2]
    old = boxes.astype([("ts" if n == "t" else n, d) for n, (d, _) in boxes.dtype.fields.items()])
    np.save(tmp_path / "old_bbox.npy", old)
    assert list(read_boxes(tmp_path / "old_bbox.npy")) == [100, 200]
    np.save(tmp_path / "none_bbox.npy", boxes[:0])
    assert read_boxes(tmp_path / "none_bbox.npy") == {}
    np.save(tmp_path / "other_bbox.npy", boxes[["t", "x", "y"]])
    with pytest.raises(ValueError, match="lacks the fields w, h, class_id"):
        read_boxes(tmp_path / "other_bbox.npy")


@pytest.mark.parametrize("container", ["npy", "npz", "structured"])
@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([0.0, 0.01, 0.25], "fractions, such as 0.01"),  # seconds
        ([0.5, 10.25, 250.0], "fractions, such as 0.5"),  # milliseconds
        ([-5, 0, 3], "negative, such as -5"),
        ([0.0, float("nan"), 1.0], "not all finite"),
    ],
)
def test_times_that_are_no_microseconds_are_refused_with_the_way_out(
    tmp_path, times, found, container
):
    times = np.array(times)
    zeros = np.zeros(3, np.int64)
    path = tmp_path / ("a.npz" if container == "npz" else "a.npy")
    if container == "npz":
        np.savez(path, t=times, x=zeros, y=zeros, p=zeros)
    elif container == "npy":
        np.save(path, np.stack([times, zeros, zeros, zeros], 1))
    else:
        rows = np.zeros(3, [("t", times.dtype), ("x", "i4"), ("y", "i4"), ("p", "u1")])
        rows["t"] = times
        np.save(path, rows)
    with pytest.raises(
        UserError, match=rf"{path.name}: time stamps must be whole micro.*{found}.*1e6"
    ):
        open_events(path)


def test_whole_microseconds_as_floats_are_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[10.0, 1, 2, 1], [20.0, 1, 2, 0]]))
    assert open_events(tmp_path / "a.npy").window(0, 100).t.tolist() == [10, 20]
