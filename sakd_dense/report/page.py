"""One HTML file that answers: is it worth it?"""

import base64
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import Environment

from ..energy.conventions import CONVENTIONS
from ..runtime.errors import UserError
from ..runtime.files import replacing
from ..timesteps.table import FIRING_RATE, MS, metric_columns
from . import figures
from .run import Run
from .template import TEMPLATE


def write_page(
    path: str | os.PathLike[str],
    runs: Sequence[Run],
    pictures: Sequence[Sequence[tuple[str, np.ndarray]]] = (),
) -> None:
    """Writes the report of ``runs[0]``; the others are compared with it.

    Args:
        path: of the HTML file. Everything is in it: it asks no network for anything.
        runs: with their measurements.
        pictures: of :func:`sakd_dense.report.samples.sample_pictures`.

    Raises:
        UserError: a run has no metric, or another than the first.
    """
    run = runs[0]
    metric = run.sweep.main_metric
    for each in runs:
        if metric is None or any(metric not in row for row in each.sweep.rows.values()):
            raise UserError(
                f"{each.folder}: its test gave no {metric or 'metric'} at some T (a detector that "
                "finds nothing has none): train longer, or compare runs on one test set"
            )
    text = Environment(autoescape=True).from_string(TEMPLATE)
    page = text.render(
        title=run.name,
        answer=answer(run, metric),
        metric=metric,
        rows=_rows(run),
        columns=[*metric_columns(run.sweep.rows).values(), "firing rate", "ms an image"],
        accuracy=figures.accuracy(runs, metric),
        paretos=[figures.pareto(runs, metric, c) for c in CONVENTIONS],
        heat=figures.heat_map(run),
        losses=figures.losses(run),
        energy=run.energy.summary(),
        estimates=run.energy.estimates(),
        layers=run.energy.layers(max(run.energy.readings)),
        notes=[*run.sweep.notes().splitlines(), *run.energy.notes().splitlines()],
        pictures=[[(title, _jpeg(image)) for title, image in row] for row in pictures],
        config=run.cfg.pretty_text,
        commands=_commands(run),
        versions={**run.sweep.versions, "device": run.sweep.device},
        run=run,
        others=runs[1:],
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def answer(run: Run, metric: str) -> list[str]:
    """The figures that decide, as sentences."""
    own = run.cfg.model.get("backbone", {}).get("time_steps")
    both = [t for t in run.energy.readings if t in run.sweep.rows]
    t = own if own in both else max(both)
    value = run.sweep.rows[t][metric]
    teacher = figures.teacher_value(run.teacher_sweep, metric)
    first = f"At T = {t} the spiking model has {metric} {value:.3f}"
    if teacher is not None:
        first += f"; its ANN teacher has {teacher:.3f} ({value - teacher:+.3f})"
    sentences = [first + "."]
    macs = run.energy.teacher.total().operations.dense * 1e-9
    ann, int8 = macs * run.energy.e_mac, macs * run.energy.e_mac_int8
    for convention, name in CONVENTIONS.items():
        mj = run.energy.millijoule(run.energy.readings[t].total().operations, convention)
        sentences.append(
            f"By the {name} convention an image takes {mj:.2f} mJ, {mj / ann:.2f} of the ANN's "
            f"{ann:.2f} mJ; the same ANN in int8 would take {int8:.2f} mJ."
        )
    return sentences


def _rows(run: Run) -> list[list[str]]:
    rows = []
    names = list(metric_columns(run.sweep.rows))
    found: list[tuple[str, dict[str, Any]]] = [(str(t), r) for t, r in run.sweep.rows.items()]
    if run.teacher_sweep is not None:
        found.append(("ANN", run.teacher_sweep.rows[None]))
    for t, row in found:
        cells = [_number(row.get(n), 3) for n in names]
        rows.append([t, *cells, _number(row.get(FIRING_RATE), 3), _number(row.get(MS), 1)])
    return rows


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _commands(run: Run) -> dict[str, str]:
    found = {"training": run.cfg.get("command") or ""}
    found["test"] = " ".join(run.sweep.command)
    found["energy"] = " ".join(run.energy.command)
    return {name: command for name, command in found.items() if command}


def _jpeg(image: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()


__all__ = ["answer", "write_page"]
