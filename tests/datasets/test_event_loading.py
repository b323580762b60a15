"""From a recording to a sample: bins, windows, flips, crops, resizes, packing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, init_default_scope

from sakd_dense.datasets import LoadEvents, PackEventInputs
from sakd_dense.datasets.events import Events, count_events
from tests.helpers.recordings import SIZE, WRITERS, dat, some_events

STAMP = 200_000


@pytest.fixture
def recording(tmp_path) -> dict:
    dat(tmp_path / "a.dat", some_events())
    return dict(img_path=str(tmp_path / "a.dat"), timestamp=STAMP)


def frames_of(results: dict) -> np.ndarray:
    """Frames ``[T, C, H, W]`` of a loaded sample."""
    image = results["img"]
    return image.transpose(2, 0, 1).reshape(results["time_steps"], 2, *image.shape[:2])


def counted(events: Events, steps: int, bins: np.ndarray) -> np.ndarray:
    """One event after the other."""
    frames = np.zeros((steps, 2, *SIZE))
    for b, x, y, p in zip(bins, events.x, events.y, events.p, strict=True):
        frames[b, 0 if p else 1, y, x] += 1
    return frames


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_bins_of_equal_duration(recording, steps):
    frames = frames_of(LoadEvents(steps, window=50_000)(recording))
    events = some_events().between(STAMP - 50_000, STAMP)
    bins = (events.t - (STAMP - 50_000)) * steps // 50_000
    np.testing.assert_array_equal(frames, counted(events, steps, bins))
    assert frames.dtype == np.float32 and frames.sum() == len(events) > 100


@pytest.mark.parametrize("steps,number", [(1, 50), (4, 100), (3, 100), (8, 5)])
def test_bins_of_equal_numbers(recording, steps, number):
    frames = frames_of(LoadEvents(steps, bins="number", number=number)(recording))
    events = some_events()
    events = events[events.t < STAMP][-number:]
    per_bin = frames.sum((1, 2, 3))
    assert per_bin.sum() == number and per_bin.max() - per_bin.min() <= 1
    np.testing.assert_array_equal(frames.sum(0), counted(events, 1, np.zeros(number, int))[0])
    window = frames_of(LoadEvents(steps, window=50_000, bins="number")(recording)).sum((1, 2, 3))
    assert window.max() - window.min() <= 1


def test_a_prefix_is_what_was_seen_by_then(recording):
    """The first t of T bins are the bins of a window that ends earlier."""
    whole = frames_of(LoadEvents(8, window=80_000)(dict(recording)))
    for t in (1, 2, 4):
        earlier = dict(recording, timestamp=STAMP - 80_000 + t * 10_000)
        np.testing.assert_array_equal(
            whole[:t], frames_of(LoadEvents(t, window=t * 10_000)(earlier))
        )


def test_the_event_at_the_stamp_is_not_before_it(tmp_path):
    events = Events(*np.array([[99, 100, 199, 200], [1, 2, 3, 4], [0] * 4, [1] * 4]))
    dat(tmp_path / "a.dat", events)
    frames = frames_of(LoadEvents(2, 100)(dict(img_path=str(tmp_path / "a.dat"), timestamp=200)))
    assert np.argwhere(frames).tolist() == [[0, 0, 0, 2], [1, 0, 0, 3]]


@pytest.mark.parametrize("stamp,seen", [(0, 0), (20_000, 2), (10**6, 0)])
def test_bins_without_events_are_empty(recording, stamp, seen):
    """At the beginning of a file the window begins before it; behind its end nothing happens."""
    frames = frames_of(LoadEvents(5, window=50_000)(dict(recording, timestamp=stamp)))
    assert np.flatnonzero(frames.sum((1, 2, 3))).tolist() == list(range(5 - seen, 5))
    by_number = LoadEvents(5, window=50_000, bins="number")(dict(recording, timestamp=stamp))
    assert frames_of(by_number).sum() == frames.sum()


def test_a_cap(recording):
    crowded = Events(*np.array([[5] * 7, [3] * 7, [4] * 7, [1] * 7]))
    assert count_events(crowded, 1, SIZE, (0, 10)).max() == 7
    dat(Path(recording["img_path"]).with_name("b.dat"), crowded)
    sample = dict(recording, img_path=recording["img_path"].replace("a.dat", "b.dat"), timestamp=10)
    assert LoadEvents(1, 10, cap=3)(sample)["img"].max() == 3


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_frames(name, tmp_path):
    WRITERS[name](tmp_path / name, some_events())
    loaded = LoadEvents(4, size=SIZE)(dict(img_path=str(tmp_path / name), timestamp=STAMP))
    events = some_events().between(STAMP - 50_000, STAMP)
    expected = count_events(events, 4, SIZE, (STAMP - 50_000, STAMP))
    np.testing.assert_array_equal(frames_of(loaded), expected)


def test_arrays_end_where_their_boxes_are(tmp_path):
    events = some_events()
    WRITERS["b.npy"](tmp_path / "b.npy", events)
    load = LoadEvents(4, window=30_000, size=SIZE)
    alone = frames_of(load(dict(img_path=str(tmp_path / "b.npy"))))
    end = int(events.t[-1]) + 1
    np.testing.assert_array_equal(
        alone, count_events(events.between(end - 30_000, end), 4, SIZE, (end - 30_000, end))
    )
    whole = LoadEvents(4, window=None, size=SIZE)(dict(img_path=str(tmp_path / "b.npy")))
    assert frames_of(whole).sum() == len(events) and (frames_of(whole).sum((1, 2, 3)) > 400).all()


def test_frames_that_spikingjelly_wrote(tmp_path):
    frames = np.random.default_rng(0).integers(0, 9, (4, 2, *SIZE)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", frames=frames)
    results = LoadEvents(4)(dict(img_path=str(tmp_path / "a.npz")))
    np.testing.assert_array_equal(frames_of(results), frames)
    with pytest.raises(ValueError, match="has 4 frames, but time_steps=8"):
        LoadEvents(8)(dict(img_path=str(tmp_path / "a.npz")))


def test_events_outside_of_the_sensor(recording):
    load = LoadEvents(2, size=(20, 25))
    first = some_events().between(STAMP - 50_000, STAMP)
    first = first[int(np.flatnonzero(first.x >= 25)[0])]
    with pytest.raises(ValueError, match=rf"a\.dat: the event at t = {first.t} us .* 25x20 pixels"):
        load(dict(recording))
    frames = frames_of(LoadEvents(2, size=(20, 25), outside="drop")(dict(recording)))
    whole = frames_of(LoadEvents(2)(dict(recording)))
    np.testing.assert_array_equal(frames, whole[..., :25])


@pytest.mark.parametrize(
    "arguments,message",
    [
        (dict(time_steps=0), "time_steps=0"),
        (dict(time_steps=2.0), "time_steps=2.0"),
        (dict(window=3), "window=3: must be an integer of at least 4"),
        (dict(bins="space"), "bins='space'"),
        (dict(number=10), "number=10 needs bins='number'"),
        (dict(bins="number", number=0), "number=0"),
        (dict(cap=0), "cap=0"),
        (dict(outside="keep"), "outside='keep'"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        LoadEvents(**arguments)


def test_what_a_sample_lacks(recording, tmp_path):
    with pytest.raises(ValueError, match=r"a\.dat: a recording needs a time stamp"):
        LoadEvents()(dict(img_path=recording["img_path"]))
    WRITERS["b.npy"](tmp_path / "b.npy", some_events())
    with pytest.raises(ValueError, match=r"b\.npy nor the data set gives the size"):
        LoadEvents()(dict(img_path=str(tmp_path / "b.npy")))
    with pytest.raises(ValueError, match="has no time axis"):
        PackEventInputs("mmdet.PackDetInputs")(dict(img_path="x", img=np.zeros((4, 4, 2))))


# Boxes around events: each transform moves both alike.
BOX = [4.0, 6.0, 12.0, 16.0]
TRANSFORM_CASES = {
    "horizontal flip": dict(type="RandomFlip", prob=1.0, direction="horizontal"),
    "vertical flip": dict(type="RandomFlip", prob=1.0, direction="vertical"),
    "crop": dict(type="RandomCrop", crop_size=(18, 20), allow_negative_crop=True),
    "half the size": dict(type="ResizeEvents", scale_factor=0.5),
    "to a scale": dict(type="ResizeEvents", scale=(20, 10), keep_ratio=False),
    "twice the size": dict(type="Resize", scale_factor=2.0, interpolation="nearest"),
}


@pytest.mark.parametrize("case", TRANSFORM_CASES)
def test_transforms_treat_frames_and_boxes_alike(case, tmp_path):
    init_default_scope("mmdet")
    rng = np.random.default_rng(0)
    x, y = rng.integers(4, 12, 400), rng.integers(6, 16, 400)
    dat(tmp_path / "a.dat", Events(np.arange(400), x, y, rng.integers(0, 2, 400)))
    pipeline = Compose(
        [
            dict(type="LoadEvents", time_steps=4, window=400),
            dict(type="LoadAnnotations", with_bbox=True),
            TRANSFORM_CASES[case],
            dict(type="PackEventInputs", meta_keys=("img_shape",)),
        ]
    )
    instances = [dict(bbox=BOX, bbox_label=0, ignore_flag=0)]
    packed = pipeline(dict(img_path=str(tmp_path / "a.dat"), timestamp=400, instances=instances))
    frames, sample = packed["inputs"], packed["data_samples"]
    assert frames.shape[:2] == (4, 2) and tuple(frames.shape[2:]) == sample.img_shape[:2]
    (box,) = sample.gt_instances.bboxes.tensor.tolist()
    places = torch.nonzero(frames.sum((0, 1)))
    low, high = places.amin(0), places.amax(0) + 1
    seen = [low[1], low[0], high[1], high[0]]
    # A pixel that a border of the box goes through belongs to what is within.
    assert all(abs(float(a) - b) <= 1 for a, b in zip(seen, box, strict=True)), (seen, box)
    if "size" not in case or "half" in case:
        assert (frames == frames.round()).all()
    if case != "crop" and "twice" not in case:
        assert frames.sum() == 400 and (frames.sum((1, 2, 3)) == 100).all()


def test_events_are_only_put_together(recording):
    init_default_scope("mmdet")
    with pytest.raises(ValueError, match="cannot enlarge 30x20 to 60x40"):
        TRANSFORMS.build(dict(type="ResizeEvents", scale_factor=2.0))(LoadEvents()(recording))
