"""What the demo shows at its end: one table, one plot, and boxes on some test scenes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS

from .config.twins import ann_of
from .report.visualization import Panel, draw_panels, load_detector, predict
from .runtime.files import replacing
from .timesteps import SweepResult
from .timesteps.table import table

SCENES = 4
SCORE = 0.3


def table_of(found: Mapping[str, SweepResult]) -> str:
    """One table for all models, a line for each T."""
    first = max(map(len, found))
    lines = []
    for name, result in found.items():
        heading, *rows = table(result.rows).splitlines()
        lines += [f"{name:{first}}  {heading}", *(f"{'':{first}}  {row}" for row in rows), ""]
    return "\n".join(lines)


def plot_time_steps(found: Mapping[str, SweepResult], path: Path) -> None:
    """The main metric over T as a PNG: a line for each SNN, a dashed one for an ANN."""
    # Not pyplot: it would pick a window system and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, result in found.items():
        metric = result.main_metric
        if None in result.rows:
            axes.axhline(result.rows[None][metric], color="gray", ls="--", label=name)
            continue
        steps = sorted(result.rows)
        axes.plot(steps, [result.rows[t][metric] for t in steps], "o-", label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(steps, [str(t) for t in steps])
        axes.minorticks_off()
    axes.set(xlabel="T", ylabel="mAP on test", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def draw_boxes(
    cfg: Config,
    checkpoints: Mapping[str, str],
    teacher: str,
    time_steps: tuple[int, ...],
    path: Path,
) -> None:
    """Some test scenes as a PNG: the truth, the teacher, and each student at each T.

    Args:
        cfg: of the student.
        checkpoints: by the name of each model.
        teacher: which of these names is the ANN's.
        time_steps: the T to draw.
        path: of the PNG.
    """
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    scenes = [dataset.get_data_info(i) for i in range(min(SCENES, len(dataset)))]
    rows = [[_truth(scene)] for scene in scenes]
    for name, checkpoint in checkpoints.items():
        model_cfg = ann_of(cfg.model) if name == teacher else None
        model = load_detector(cfg, checkpoint, model_cfg=model_cfg)
        for t in (None,) if name == teacher else time_steps:
            if t is not None:
                model.backbone.time_steps = t
            title = name if t is None else f"{name}, T = {t}"
            for row, scene in zip(rows, scenes, strict=True):
                row.append(predict(model, scene["img_path"], title).above(SCORE))
    meta = dataset.metainfo
    draw_panels(rows, path, meta["classes"], meta["palette"], panel_inches=2.2)


def _truth(info: dict[str, Any]) -> Panel:
    instances = info["instances"]
    return Panel(
        title="truth",
        image=mmcv.imread(info["img_path"])[..., ::-1],
        boxes=np.array([i["bbox"] for i in instances], dtype=float).reshape(-1, 4),
        labels=np.array([i["bbox_label"] for i in instances], dtype=int),
    )
