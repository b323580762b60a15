"""Pictures of the test set with what teacher and student find in them."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, VISUALIZERS, DefaultScope
from mmengine.visualization import Visualizer
from torch import nn

from ..backbones.time_steps import at_time_steps
from ..transfer.load import load_for_test
from .run import Run

_WIDEST = 640


@torch.no_grad()
def sample_pictures(
    run: Run, time_steps: Sequence[int], count: int
) -> list[list[tuple[str, np.ndarray]]]:
    """For each of ``count`` images of the test set: what it shows, and what is found in it.

    Returns:
        A row an image: ``(title, [H, W, 3] uint8 RGB)`` of the ground truth, the teacher if there
        is one, and the student at each T.
    """
    scope = run.cfg.get("default_scope", "mmengine")
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(copy.deepcopy(run.cfg.test_dataloader.dataset))
        student = _model(run.cfg, run.cfg.model, run.checkpoint)
        teacher = None
        if run.teacher is not None:
            teacher = _model(run.cfg, run.teacher_model, run.teacher)
        draw = _Drawing(run.cfg, dataset.metainfo)
        images = len(dataset)
        chosen = [
            (2 * i + 1) * images // (2 * min(count, images)) for i in range(min(count, images))
        ]
        rows = []
        for index in chosen:
            item = dataset[index]
            row = [("ground truth", draw(item, item["data_samples"], truth=True))]
            if teacher is not None:
                row.append(("ANN teacher", draw(item, _predict(teacher, item))))
            for t in time_steps:
                with at_time_steps(student, t):
                    row.append((f"SNN, T = {t}", draw(item, _predict(student, item))))
            rows.append(row)
    return rows


def _model(cfg: Config, model_cfg: Any, checkpoint: str) -> nn.Module:
    model_cfg = copy.deepcopy(model_cfg)
    if cfg.get("data_preprocessor") is not None:
        model_cfg.setdefault("data_preprocessor", cfg.data_preprocessor)
    model = MODELS.build(model_cfg).eval()
    load_for_test(model, checkpoint)
    return model


def _predict(model: nn.Module, item: dict[str, Any]) -> Any:
    batch = dict(inputs=[item["inputs"]], data_samples=[copy.deepcopy(item["data_samples"])])
    return model.test_step(batch)[0]


class _Drawing:
    """Each package's own visualizer, as a function from a result to a picture."""

    def __init__(self, cfg: Config, meta: dict[str, Any]) -> None:
        self.scope = cfg.get("default_scope")
        kind = {"mmseg": "SegLocalVisualizer", "mmpretrain": "UniversalVisualizer"}
        args = dict(type=kind.get(self.scope, "DetLocalVisualizer"), name="sakd_report")
        if self.scope == "mmseg":
            args["alpha"] = 0.6
        Visualizer._instance_dict.pop("sakd_report", None)
        self.visualizer = VISUALIZERS.build(args)
        self.visualizer.dataset_meta = meta

    def __call__(self, item: dict[str, Any], found: Any, truth: bool = False) -> np.ndarray:
        import mmcv

        path = found.metainfo.get("img_path")
        if path and Path(path).is_file():
            image = mmcv.imread(path, channel_order="rgb")
        else:  # generated, or an array of a file of many
            image = item["inputs"].numpy().transpose(1, 2, 0)
            image = np.ascontiguousarray(image[..., ::-1])
        if self.scope == "mmpretrain":
            small = mmcv.imrescale(image, max(1.0, 160 / min(image.shape[:2])))
            shown = self._classes(found, truth)
            self.visualizer.set_image(small)
            self.visualizer.draw_texts(
                shown,
                np.array([[3.0, 3.0]]),
                font_sizes=10,
                colors="white",
                bboxes=dict(facecolor="black", alpha=0.6, pad=1, edgecolor="none"),
            )
        else:
            if truth and self.scope == "mmdet":  # its data_preprocessor does so for a model
                found = copy.deepcopy(found)
                boxes = found.gt_instances.bboxes
                found.gt_instances.bboxes = getattr(boxes, "tensor", boxes)
            self.visualizer.add_datasample(
                "sample", image, found, draw_gt=truth, draw_pred=not truth, **self._options()
            )
        drawn = self.visualizer.get_image()
        return mmcv.imrescale(drawn, min(1.0, _WIDEST / drawn.shape[1]))

    def _options(self) -> dict[str, Any]:
        return dict(with_labels=False) if self.scope == "mmseg" else dict(pred_score_thr=0.3)

    def _classes(self, found: Any, truth: bool) -> str:
        names = self.visualizer.dataset_meta.get("classes", ())
        labels = found.gt_label if truth else found.pred_label
        texts = [str(names[i]) if i < len(names) else str(i) for i in labels.flatten().tolist()]
        if not truth and found.get("pred_score") is not None and len(texts) == 1:
            texts[0] += f" {found.pred_score.max():.2f}"
        return ", ".join(texts)
