"""Boxes drawn on an image, several results side by side in one picture."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from ..runtime.errors import MissingFileError, UserError
from ..runtime.files import replacing
from ..transfer import read_state_dict
from ..transfer.load import load_for_test

_FALLBACK = (0, 158, 115)


@dataclass
class Panel:
    """One image with its boxes.

    Attributes:
        title: above the image.
        image: ``[H, W, 3]`` uint8, RGB.
        boxes: ``[N, 4]``, x1, y1, x2, y2 in pixels.
        labels: ``[N]``, class indices.
        scores: ``[N]`` from 0 to 1, or None for true boxes.
    """

    title: str
    image: np.ndarray
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    scores: np.ndarray | None = None

    def above(self, score_thr: float) -> "Panel":
        """The same panel without the boxes whose score is lower."""
        if self.scores is None:
            return self
        keep = self.scores >= score_thr
        return Panel(self.title, self.image, self.boxes[keep], self.labels[keep], self.scores[keep])


def draw_panels(
    rows: Sequence[Sequence[Panel]],
    path: str | os.PathLike[str],
    classes: Sequence[str] = (),
    palette: Sequence[Sequence[int]] = (),
    panel_inches: float = 3.0,
) -> None:
    """Write the panels as one PNG: a row of pictures for each row of panels.

    Args:
        rows: the panels; titles are drawn above the first row alone.
        path: of the PNG.
        classes: names by class index; without, the index is written.
        palette: RGB colours from 0 to 255 by class index.
        panel_inches: width of a panel, at 150 dots an inch.
    """
    # Not pyplot: it would pick a window system and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    height, width = rows[0][0].image.shape[:2]
    row_inches = panel_inches * height / width
    figure = Figure(
        figsize=(panel_inches * columns, row_inches * len(rows) + 0.3), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for i, row in enumerate(rows):
        for axes, panel in zip(grid[i], row, strict=False):
            if i == 0:
                axes.set_title(panel.title, fontsize=9)
            axes.imshow(panel.image)
            _draw_boxes(axes, panel, classes, palette)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _draw_boxes(
    axes: Any, panel: Panel, classes: Sequence[str], palette: Sequence[Sequence[int]]
) -> None:
    from matplotlib.patches import Rectangle

    for number, (x1, y1, x2, y2) in enumerate(np.asarray(panel.boxes, dtype=float)):
        label = int(panel.labels[number])
        color = np.array(palette[label] if label < len(palette) else _FALLBACK) / 255
        name = str(classes[label]) if label < len(classes) else str(label)
        if panel.scores is not None:
            name += f" {panel.scores[number]:.2f}"
        axes.add_patch(
            Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.2)
        )
        style = dict(facecolor=color, edgecolor="none", pad=0.6, alpha=0.8)
        ink = "black" if color @ (0.3, 0.59, 0.11) > 0.5 else "white"
        # Inside the box where there is no room above it.
        side = "top" if y1 < 0.04 * panel.image.shape[0] else "bottom"
        axes.text(x1, y1, name, fontsize=5, color=ink, bbox=style, va=side, clip_on=True)


def load_detector(
    cfg: Config,
    checkpoint: str,
    device: str = "cpu",
    model_cfg: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A detector ready to predict: built, loaded strictly and safely, in eval mode.

    Args:
        cfg: the whole config; its test pipeline is used by :func:`predict`.
        checkpoint: what :func:`sakd_dense.transfer.load.load_for_test` takes.
        device: where the model goes.
        model_cfg: in place of ``cfg.model``, for the teacher of a student's config.

    Raises:
        MissingFileError, UserError: for a checkpoint that is missing or does not fit.
    """
    init_default_scope(cfg.get("default_scope", "mmdet"))
    model = MODELS.build(dict(model_cfg or cfg.model))
    load_for_test(model, checkpoint)
    model.cfg = cfg
    model.dataset_meta = _meta(cfg, checkpoint)
    return model.to(device).eval()


def predict(model: nn.Module, image: str | np.ndarray, title: str = "") -> Panel:
    """The boxes that ``model`` finds, at the number of time steps it is set to.

    Args:
        model: of :func:`load_detector`.
        image: a path, or ``[H, W, 3]`` uint8 in BGR as OpenCV reads it.
        title: of the panel.

    Raises:
        MissingFileError, UserError: for an image that is missing or cannot be read.
    """
    import mmcv
    from mmdet.apis import inference_detector
    from mmdet.utils import get_test_pipeline_cfg

    if not isinstance(image, np.ndarray):
        path = os.fspath(image)
        if not os.path.isfile(path):
            raise MissingFileError(f"image {path!r} does not exist")
        image = mmcv.imread(path)
        if image is None:
            raise UserError(f"image {path!r} cannot be read: not a picture that OpenCV knows")
    steps = [dict(step) for step in get_test_pipeline_cfg(model.cfg)]
    steps[0] = dict(type="mmdet.LoadImageFromNDArray")
    steps = [step for step in steps if not str(step["type"]).endswith("LoadAnnotations")]
    found = inference_detector(model, image, test_pipeline=Compose(steps)).pred_instances
    return Panel(
        title=title,
        image=image[..., ::-1],
        boxes=found.bboxes.cpu().numpy(),
        labels=found.labels.cpu().numpy(),
        scores=found.scores.cpu().numpy(),
    )


def _meta(cfg: Config, checkpoint: str) -> dict[str, Any]:
    """Class names and colours: of the checkpoint, else of the config's test set."""
    meta = dict(read_state_dict(checkpoint)[1].get("dataset_meta") or {})
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    kind = DATASETS.get(dataset["type"]) if isinstance(dataset.get("type"), str) else None
    own = {**(getattr(kind, "METAINFO", None) or {}), **(dataset.get("metainfo") or {})}
    found = {**own, **meta}
    if isinstance(found.get("palette"), str):  # mmdet's 'random' or 'coco'
        del found["palette"]
    return found
