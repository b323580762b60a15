"""Batches of event frames for detectors and segmentors."""

import pytest
import torch
from mmengine.registry import MODELS


def batch(*sizes: tuple[int, int], steps: int = 3) -> dict:
    from mmdet.structures import DetDataSample

    streams = [torch.rand(steps, 2, *size).mul(4).floor() for size in sizes]
    samples = [DetDataSample(metainfo=dict(img_shape=size)) for size in sizes]
    return dict(inputs=streams, data_samples=samples)


@pytest.mark.parametrize(
    "time,shape",
    [("first", (3, 2, 2, 16, 24)), ("mean", (2, 2, 16, 24)), ("channels", (2, 6, 16, 24))],
)
def test_a_detectors_batch_is_padded_and_stacked(time, shape):
    data = batch((10, 20), (16, 12))
    preprocess = MODELS.build(dict(type="EventDetDataPreprocessor", time=time, pad_size_divisor=8))
    out = preprocess(data)
    assert out["inputs"].shape == shape
    assert out["data_samples"][0].batch_input_shape == (16, 24)
    first = data["inputs"][0]
    expected = dict(first=first, mean=first.mean(0), channels=first.flatten(0, 1))[time]
    seen = out["inputs"][:, 0] if time == "first" else out["inputs"][0]
    torch.testing.assert_close(seen[..., :10, :20], expected)
    assert not seen[..., 10:, :].any() and not seen[..., 20:].any()


def test_normalised_by_polarity():
    preprocess = MODELS.build(
        dict(type="EventDetDataPreprocessor", mean=[1.0, 0.0], std=[2.0, 4.0])
    )
    data = batch((8, 8))
    seen = preprocess(data)["inputs"][:, 0]
    torch.testing.assert_close(seen[:, 0], (data["inputs"][0][:, 0] - 1) / 2)
    torch.testing.assert_close(seen[:, 1], data["inputs"][0][:, 1] / 4)
    assert not preprocess.state_dict()


@pytest.mark.parametrize(
    "arguments,data,message",
    [
        (dict(time="last"), None, "time='last'"),
        (dict(bgr_to_rgb=True), None, "no colours"),
        (dict(mean=[1.0]), None, "mean=.* set both"),
        ({}, dict(inputs=[torch.ones(3, 8, 8)]), r"\(3, 8, 8\).*\[T, C, H, W\]"),
        (
            {},
            dict(inputs=[torch.ones(2, 2, 8, 8), torch.ones(3, 2, 8, 8)]),
            "shape, except for",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["EventDetDataPreprocessor", "EventSegDataPreprocessor"])
def test_batches_that_cannot_be(kind, arguments, data, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type=kind, **arguments))(data)


@pytest.mark.parametrize("training", [True, False])
def test_a_segmentors_batch(training):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sizes = [(10, 20), (16, 12)] if training else [(16, 24)]
    data = batch(*sizes)
    data["data_samples"] = [
        SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, *s, dtype=torch.long)))
        for s in sizes
    ]
    preprocess = MODELS.build(dict(type="EventSegDataPreprocessor", size=(16, 24)))
    out = preprocess(data, training)
    assert out["inputs"].shape == (3, len(sizes), 2, 16, 24)
    torch.testing.assert_close(out["inputs"][:, 0, :, :10, :20], data["inputs"][0][..., :10, :20])
    if training:
        assert (out["data_samples"][0].gt_sem_seg.data[:, 10:] == 255).all()
