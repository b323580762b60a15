"""Pictures of the predictions of teacher and student, for detectors, segmentors and classifiers."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import Tensor, nn

from ..backbones.time_steps import at_time_steps, spiking_backbones
from ..config.models import test_dataset_of
from ..loading.load import build_for_test
from ..runtime.errors import UserError
from .loaded import LoadedImage, TestPipeline
from .panels import Classes, Panel
from .run import Run


@dataclass
class Samples:
    """The models whose predictions are drawn, each with a title and a number of time steps.

    Attributes:
        models: ``(title, model, T)``; T is None for an ANN.
        meta: names and colours of the classes, as in a data set's ``metainfo``.
        score_thr: minimum score of the boxes to draw.
    """

    models: list[tuple[str, nn.Module, int | None]] = field(default_factory=list)
    meta: Mapping[str, Any] = field(default_factory=dict)
    score_thr: float = 0.3

    @classmethod
    def of_config(
        cls,
        cfg: Config,
        checkpoint: str,
        teacher: str | None = None,
        time_steps: Sequence[int] | None = None,
        device: str = "cpu",
        score_thr: float = 0.3,
    ) -> "Samples":
        """Builds the teacher, if it has a checkpoint, and the config's model at each T.

        Args:
            cfg: the complete config.
            checkpoint: checkpoint of the config's model.
            teacher: checkpoint of the ANN teacher; None: no teacher.
            time_steps: values of T; None: the model's own T.
            device: device of the models.
            score_thr: minimum score of the boxes to draw.

        Raises:
            MissingFileError, UserError: a checkpoint is missing or does not fit.
        """
        models: list[tuple[str, nn.Module, int | None]] = []
        if teacher is not None:
            ann = build_for_test(cfg, teacher, ann=True, device=device)
            models.append(("teacher (ANN)", ann, None))
        model = build_for_test(cfg, checkpoint, device=device)
        backbones = list(spiking_backbones(model).values())
        if backbones:
            steps = time_steps or [backbones[0].time_steps]
            models += [(f"SNN, T = {t}", model, t) for t in steps]
        else:
            models.append(("ANN", model, None))
        meta: Any = model.dataset_meta
        return cls(models, meta, score_thr)

    def truth(self, loaded: LoadedImage) -> Panel:
        """Returns the image with its annotations."""
        panel, classes = Panel("ground truth", loaded.image), Classes.of_meta(self.meta)
        known = loaded.annotations
        if "gt_seg_map" in known:
            panel.add_label_map(classes, _array(known["gt_seg_map"]))
        if "gt_bboxes" in known:
            boxes = known["gt_bboxes"]
            keep = ~_array(known.get("gt_ignore_flags", np.zeros(len(boxes)))).astype(bool)
            masks = known["gt_masks"].to_ndarray()[keep] if "gt_masks" in known else None
            labels = _array(known["gt_bboxes_labels"])[keep]
            boxes = _array(getattr(boxes, "tensor", boxes))[keep]
            panel.add_instances(classes, boxes, labels, masks=masks)
        if "gt_label" in known:
            labels = np.atleast_1d(_array(known["gt_label"]))
            panel.add_text(", ".join(classes.name(label) for label in labels))
        return panel

    def bins(self, loaded: LoadedImage, found: Panel) -> list[Panel]:
        """Returns the time bins of a recording with the boxes of ``found``; empty for an image."""
        shown = []
        for t, image in enumerate(loaded.bins, start=1):
            title = f"bin {t} of {len(loaded.bins)}"
            shown.append(replace(found, title=title, image=image, overlay=None))
        return shown

    def predictions(self, loaded: LoadedImage) -> list[Panel]:
        """Returns the image with the predictions of each model."""
        panels = []
        for title, model, t in self.models:
            panel = Panel(title, loaded.image)
            self._add_prediction(panel, _predict(model, loaded, t))
            panels.append(panel)
        return panels

    def _add_prediction(self, panel: Panel, sample: Any) -> None:
        classes = Classes.of_meta(self.meta)
        if "pred_panoptic_seg" in sample:
            panel.add_label_map(classes, _array(sample.pred_panoptic_seg.sem_seg[0]))
        elif "pred_sem_seg" in sample:
            panel.add_label_map(classes, _array(sample.pred_sem_seg.data[0]))
        if "pred_instances" in sample:
            instances = sample.pred_instances
            instances = instances[instances.scores >= self.score_thr]
            masks = _array(instances.masks) if "masks" in instances else None
            boxes, labels, scores = (_array(instances[k]) for k in ("bboxes", "labels", "scores"))
            panel.add_instances(classes, boxes, labels, scores, masks)
        if "pred_label" in sample:
            labels = np.atleast_1d(_array(sample.pred_label))
            text = ", ".join(classes.name(label) for label in labels)
            if "pred_score" in sample and len(labels) == 1:
                text += f" {float(sample.pred_score.max()):.2f}"
            panel.add_text(text)


def sample_pictures(run: Run, time_steps: Sequence[int], count: int) -> list[list[Panel]]:
    """Returns the annotations and the predictions of ``count`` images of the test set, as panels.

    Returns:
        One row for each image: the ground truth, the teacher if there is one, and the student at
        each T. A recording of events has a second row: its time bins with the true boxes.

    Raises:
        UserError: the config has no test set.

    Example:
        >>> from sakd_dense.report import open_run, sample_pictures
        >>> run = open_run("work_dirs/retinanet_sew18_sakd_digits")  # doctest: +SKIP
        >>> rows = sample_pictures(run, time_steps=(1, 4), count=3)  # doctest: +SKIP
    """
    dataset_cfg = copy.deepcopy(test_dataset_of(run.cfg))
    samples = Samples.of_config(run.cfg, run.checkpoint, run.teacher, time_steps)
    dataset = DATASETS.build(dataset_cfg)
    samples.meta = dataset.metainfo
    pipeline = TestPipeline(run.cfg)
    images, rows = len(dataset), []
    count = min(count, images)
    for i in range(count):
        loaded = pipeline(dataset.get_data_info((2 * i + 1) * images // (2 * count)))
        truth = samples.truth(loaded)
        rows.append([truth, *samples.predictions(loaded)])
        if loaded.bins:
            rows.append(samples.bins(loaded, truth))
    return rows


@torch.no_grad()
def _predict(model: Any, loaded: LoadedImage, t: int | None) -> Any:
    batch = dict(inputs=[loaded.inputs], data_samples=[copy.deepcopy(loaded.data_sample)])
    try:
        with at_time_steps(model, t):
            return model.test_step(batch)[0]
    except Exception as error:
        first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
        channels = loaded.inputs.shape[-3]
        if first is None or first.in_channels == channels:
            raise
        raise UserError(
            f"the config's test pipeline loads {loaded.name} with {channels} channels, but the "
            f"model takes {first.in_channels}: use such an image, or set color_type of the "
            "pipeline's LoadImageFromFile"
        ) from error


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


__all__ = ["Samples", "sample_pictures"]
