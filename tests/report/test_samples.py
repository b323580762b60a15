"""What is drawn of an annotation or a prediction, whatever kind it is."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from torch import nn

from sakd_dense.report.loaded import LoadedImage
from sakd_dense.report.panels import Panel, jpeg_of, save_panels
from sakd_dense.report.samples import Samples

META = dict(classes=("cat", "dog", "sky"), palette=[(255, 0, 0), (0, 255, 0), (0, 0, 255)])
MASKS = np.zeros((2, 20, 30), bool)
MASKS[0, 2:8, 2:8] = MASKS[1, 10:18, 5:25] = True
BOXES = torch.tensor([[2.0, 2, 8, 8], [5, 10, 25, 18]])
RED, GREEN, BLUE = np.eye(3)


class Finds(nn.Module):
    """A model that always finds the same."""

    def __init__(self, sample) -> None:
        super().__init__()
        self.sample = sample

    def test_step(self, batch):
        return [self.sample]


def load(**annotations) -> LoadedImage:
    image = np.full((20, 30, 3), 200, np.uint8)
    return LoadedImage("image 'a'", image, annotations, torch.zeros(3, 20, 30), None)


def prediction(sample, **meta) -> Panel:
    samples = Samples([("SNN", Finds(sample), None)], {**META, **meta})
    (panel,) = samples.predictions(load())
    return panel


def test_instances_above_the_threshold_with_their_masks():
    found = InstanceData(
        bboxes=BOXES,
        labels=torch.tensor([0, 1]),
        scores=torch.tensor([0.2, 0.9]),
        masks=torch.tensor(MASKS),
    )
    panel = prediction(DetDataSample(pred_instances=found))
    assert panel.captions == ["dog 0.90"] and panel.boxes.tolist() == BOXES[1:].tolist()
    assert np.array_equal(panel.overlay[..., 3] > 0, MASKS[1])
    assert np.allclose(panel.overlay[MASKS[1]], (*GREEN, 0.4))
    assert panel.summary == "1 boxes"


def test_the_truth_without_what_is_to_be_ignored():
    panel = Samples(meta=META).truth(
        load(
            gt_bboxes=HorizontalBoxes(BOXES),
            gt_bboxes_labels=np.array([0, 1]),
            gt_ignore_flags=np.array([False, True]),
            gt_masks=BitmapMasks(MASKS.astype(np.uint8), 20, 30),
        )
    )
    assert panel.captions == ["cat"] and panel.boxes.tolist() == BOXES[:1].tolist()
    assert np.array_equal(panel.overlay[..., 3] > 0, MASKS[0])


def test_label_maps_semantic_and_panoptic():
    labels = np.full((20, 30), 255)
    labels[:, :15], labels[:5, :15] = 2, 0
    panoptic = np.where(labels == 0, 5000, np.where(labels == 255, 3, labels))  # 3: void
    maps = dict(sem_seg=torch.tensor(panoptic)[None])
    for panel in (
        Samples(meta=META).truth(load(gt_seg_map=labels)),
        prediction(SegDataSample(pred_sem_seg=PixelData(data=torch.tensor(labels)[None]))),
        prediction(DetDataSample(pred_panoptic_seg=PixelData(**maps))),
    ):
        assert np.allclose(panel.overlay[0, 0], (*RED, 0.6))
        assert np.allclose(panel.overlay[19, 0], (*BLUE, 0.6))
        assert not panel.overlay[:, 15:].any()  # as it is in the image
        assert panel.summary == "sky 37.5%, cat 12.5%"


def test_classes_of_an_image():
    one = DataSample().set_pred_label(1).set_pred_score(torch.tensor([0.1, 0.8, 0.1]))
    assert prediction(one).text == "dog 0.80"
    several = DataSample().set_pred_label([0, 2]).set_pred_score(torch.tensor([0.9, 0.1, 0.8]))
    assert prediction(several, classes=("cat",)).text == "cat, 2"
    assert Samples(meta=META).truth(load(gt_label=[0, 1])).text == "cat, dog"


def test_what_is_drawn_lies_where_it_was_found(tmp_path):
    """A red box on gray, in a PNG and in a JPEG, with colours that no palette gives."""
    found = InstanceData(bboxes=BOXES[1:], labels=torch.tensor([0]), scores=torch.ones(1))
    for palette in (META["palette"], "random", None):
        panel = prediction(DetDataSample(pred_instances=found), palette=palette)
        red, green, blue = 255 * np.array(panel.colors[0])
        save_panels([panel, panel], tmp_path / "a.png", panel_inches=2)
        (tmp_path / "a.jpg").write_bytes(jpeg_of(panel))
        picture = _read(tmp_path / "a.jpg")
        height, width = picture.shape[:2]
        edge = picture[height * 14 // 20, round(width * 25.5 / 30)]  # pixel 0 begins at -0.5
        assert np.abs(edge - (red, green, blue)).max() < 60
        assert np.abs(picture[height // 10, width // 2] - 200).max() < 10
        assert _read(tmp_path / "a.png").shape[1] > 2 * _read(tmp_path / "a.png").shape[0]


def _read(path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"), dtype=float)
