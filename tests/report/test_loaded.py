"""The image that is drawn on is the one that the config's own loader gave."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from sakd_dense.report.loaded import TestPipeline, displayable
from sakd_dense.runtime.errors import UserError

RED = np.zeros((4, 6, 3), np.uint8)
RED[..., 0] = 200


def config(*steps: dict, **more) -> Config:
    init_default_scope("mmdet")
    pipeline = [*steps, dict(type="PackDetInputs", meta_keys=("img_path",))]
    return Config(dict(model=dict(), test_pipeline=pipeline, **more))


@pytest.mark.parametrize("backend", ["cv2", "pillow"])
@pytest.mark.parametrize(
    "color_type,turned",
    [("color", True), ("color_ignore_orientation", False), ("unchanged", False)],
)
def test_exif_orientation_is_the_loaders(tmp_path, backend, color_type, turned):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turned
    Image.fromarray(RED).save(tmp_path / "a.jpg", exif=exif, quality=100)
    cfg = config(dict(type="LoadImageFromFile", color_type=color_type, imdecode_backend=backend))
    loaded = TestPipeline(cfg)(dict(img_path=str(tmp_path / "a.jpg")))
    assert loaded.image.shape == ((6, 4, 3) if turned else (4, 6, 3))
    assert loaded.image.shape[:2] == tuple(loaded.inputs.shape[1:])
    assert loaded.image[..., 0].min() > 150 and loaded.image[..., 2].max() < 50


@pytest.mark.parametrize("swaps,red", [("to_rgb", 2), ("bgr_to_rgb", 2), (None, 0)])
def test_arrays_of_a_data_set_are_bgr_only_if_the_model_swaps_them(swaps, red):
    """CIFAR's are RGB, and its configs say to_rgb=False."""
    preprocessor = {swaps: True} if swaps else {}
    loaded = TestPipeline(config(data_preprocessor=preprocessor))(dict(img=RED, gt_label=1))
    assert loaded.image[0, 0, red] == 200 and loaded.image.sum() == RED.sum()
    assert loaded.annotations == dict(gt_label=1)


@pytest.mark.parametrize("first", ["annotations", "resize"])
def test_annotations_are_in_the_pixels_of_the_image(tmp_path, first):
    cv2.imwrite(str(tmp_path / "a.png"), RED)
    steps = [dict(type="LoadAnnotations", with_bbox=True), dict(type="Resize", scale_factor=3.0)]
    loading = dict(type="LoadImageFromFile")
    pipeline = TestPipeline(config(loading, *steps[:: 1 if first == "annotations" else -1]))
    instances = [dict(bbox=[1, 1, 3, 2], bbox_label=0, ignore_flag=0)]
    loaded = pipeline(dict(img_path=str(tmp_path / "a.png"), instances=instances))
    assert loaded.image.shape == (4, 6, 3) and tuple(loaded.inputs.shape) == (3, 12, 18)
    assert loaded.annotations["gt_bboxes"].tensor.tolist() == [[1, 1, 3, 2]]


def test_wrapped_data_sets_have_a_pipeline_too():
    inner = dict(type="X", pipeline=[dict(type="PackDetInputs", meta_keys=())])
    wrapped = dict(dataset=dict(type="ConcatDataset", datasets=[inner]))
    init_default_scope("mmdet")
    for key in ("test_dataloader", "val_dataloader"):
        cfg = Config({"model": {}, "test_dataloader": None, key: wrapped})
        assert TestPipeline(cfg)(dict(img=RED)).inputs.shape == (3, 4, 6)
    with pytest.raises(UserError, match="no pipeline to load an image"):
        TestPipeline(Config(dict(model={}, test_dataloader=None)))


@pytest.mark.parametrize(
    "image,shown",
    [
        (np.full((2, 2), 7, np.uint8), [7, 7, 7]),
        (np.full((2, 2, 1), 7, np.uint8), [7, 7, 7]),
        (np.tile(np.uint8([1, 2, 3, 255]), (2, 2, 1)), [3, 2, 1]),
        (np.tile(np.float32([1, 2, 255]), (2, 2, 1)), [255, 2, 1]),
        (np.tile(np.float32([0, 0.2, 1]), (2, 2, 1)), [255, 51, 0]),
        (np.tile(np.uint16([0, 13107, 65535]), (2, 2, 1)), [255, 51, 0]),
        (np.zeros((2, 2, 3), np.uint16), [0, 0, 0]),
    ],
)
def test_every_kind_of_array_is_shown(image, shown):
    picture = displayable(image, bgr=True)
    assert picture.dtype == np.uint8 and picture.tolist() == [[shown] * 2] * 2


def test_events_are_two_colours_over_all_frames():
    frames = np.zeros((4, 2, 1, 3), np.float32)
    frames[1, 0, 0, 1] = frames[3, 1, 0, 2] = 2
    assert displayable(frames, bgr=True).tolist() == [[[255] * 3, [255, 0, 0], [0, 0, 255]]]
    assert displayable(np.zeros((4, 2, 1, 1)), bgr=False).tolist() == [[[255] * 3]]
