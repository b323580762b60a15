"""Event frames: what is generated, read, batched and refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, MODELS, TRANSFORMS, init_default_scope
from mmpretrain.structures import DataSample
from spikingjelly.datasets.utils import (
    integrate_events_file_to_frames_file_by_fixed_frames_number,
)

from sakd_dense.datasets import DigitEventsDataset, EventDataPreprocessor

FEW = dict(counts=(20, 4, 4))


def test_the_set_is_the_same_again_and_its_classes_are_the_digits(tmp_path):
    sets = [DigitEventsDataset(data_root=str(tmp_path / n), events=FEW) for n in "ab"]
    assert len(sets[0]) == 20 and tuple("0123456789") == sets[0].CLASSES
    for i in range(20):
        first, second = (s.get_data_info(i) for s in sets)
        assert first["gt_label"] == second["gt_label"] == int(Path(first["img_path"]).parent.name)
        arrays = [np.load(s["img_path"])["frames"] for s in (first, second)]
        np.testing.assert_array_equal(*arrays)
        assert arrays[0].shape == (8, 2, 32, 32) and arrays[0].any((1, 2, 3)).all()


@pytest.mark.parametrize(
    "build,message",
    [
        (lambda p: DigitEventsDataset(data_root=str(p), events=dict(noise=-1)), "noise=-1"),
        (lambda p: DigitEventsDataset(data_root=str(p), events=dict(digits=(1, 2))), "digits="),
        (lambda p: DigitEventsDataset(split="dev", data_root=str(p)), "split='dev'"),
        (lambda p: EventDataPreprocessor(time="last"), "time='last'"),
        (lambda p: EventDataPreprocessor(to_rgb=True), "'to_rgb': True.*no colours"),
        (
            lambda p: EventDataPreprocessor()(dict(inputs=[torch.ones(3, 8, 8)])),
            r"\(3, 8, 8\).*must be \[T, C, H, W\]",
        ),
        (
            lambda p: EventDataPreprocessor()(
                dict(inputs=[torch.ones(4, 2, 8, 8), torch.ones(5, 2, 8, 8)])
            ),
            "of one shape",
        ),
    ],
)
def test_refusals(build, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(tmp_path)


def test_files_that_hold_no_frames(tmp_path):
    load = TRANSFORMS.build(dict(type="LoadEventFrames"))
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load(dict(img_path=str(tmp_path / "none.npz")))
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    np.save(tmp_path / "flat.npy", np.ones((3, 4)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:60])
    for name, message in (("other.npz", "contains no event frames"), ("cut.npz", "is not a read")):
        with pytest.raises(ValueError, match=rf"{name} {message}"):
            load(dict(img_path=str(tmp_path / name)))
    with pytest.raises(ValueError, match=r"flat\.npy: the frames have the shape \(3, 4\)"):
        load(dict(img_path=str(tmp_path / "flat.npy")))


def test_frames_as_spikingjelly_writes_them_take_upstreams_folder_set(tmp_path):
    """A folder a class, `frames` in an .npz: no class of our own is needed."""
    init_default_scope("mmpretrain")
    rng = np.random.default_rng(0)
    x, y, p = (rng.integers(0, high, 200) for high in (6, 6, 2))
    np.savez(tmp_path / "0.npz", t=np.arange(200), x=x, y=y, p=p)
    for name in ("wave", "clap"):
        (tmp_path / "train" / name).mkdir(parents=True)
        integrate_events_file_to_frames_file_by_fixed_frames_number(
            np.load, tmp_path / "0.npz", tmp_path / "train" / name, "number", 4, 6, 6
        )
    with np.load(tmp_path / "train" / "wave" / "0.npz") as file:
        frames = file["frames"]
    assert frames.shape == (4, 2, 6, 6) and frames.sum() == 200
    dataset = DATASETS.build(
        dict(
            type="CustomDataset",
            data_root=str(tmp_path),
            data_prefix="train",
            extensions=(".npz",),
            pipeline=[dict(type="LoadEventFrames"), dict(type="PackInputs")],
        )
    )
    sample = dataset[1]
    assert dataset.CLASSES == ("clap", "wave") and sample["data_samples"].gt_label == 1
    data = dict(inputs=[sample["inputs"]] * 3, data_samples=[sample["data_samples"]] * 3)
    batches = {
        time: MODELS.build(dict(type="EventDataPreprocessor", time=time))(data)["inputs"]
        for time in ("first", "mean")
    }
    assert batches["first"].shape == (4, 3, 2, 6, 6)
    np.testing.assert_array_equal(batches["first"][:, 1], frames)
    torch.testing.assert_close(batches["mean"], batches["first"].mean(0))


@pytest.mark.parametrize("augment", ["Mixup", "CutMix"])
def test_streams_are_mixed_as_a_whole(augment):
    """Every frame of a stream is mixed as its first one is, and so is its label."""
    torch.manual_seed(0)
    np.random.seed(0)
    args = dict(augments=[dict(type=augment, alpha=1.0)], probs=[1.0])
    streams = [torch.full((3, 2, 16, 16), float(i)) for i in range(4)]
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    preprocessor = EventDataPreprocessor(num_classes=4, batch_augments=args)
    batch = preprocessor(dict(inputs=streams, data_samples=samples), training=True)
    frames = batch["inputs"]
    assert frames.shape == (3, 4, 2, 16, 16)
    assert (frames == frames[:1, :, :1]).all()
    pixels = frames[0, :, 0].mean((1, 2))
    labels = torch.stack([s.gt_score for s in batch["data_samples"]]) @ torch.arange(4.0)
    torch.testing.assert_close(pixels, labels)
    assert (pixels != torch.arange(4.0)).any()
