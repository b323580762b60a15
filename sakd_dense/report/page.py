"""The report of a run as one HTML file, which shows whether the student is worth it."""

import base64
import os
from collections.abc import Sequence
from functools import partial
from math import isfinite
from typing import Any

from jinja2 import Environment

from ..energy.conventions import CONVENTIONS
from ..runtime.errors import UserError
from ..runtime.files import replacing
from ..timesteps.table import FIRING_RATE, MS, metric_columns
from . import figures
from .canvas import svg_of
from .panels import Panel, jpeg_of
from .run import MeasuredRun
from .template import TEMPLATE


def write_page(
    path: str | os.PathLike[str],
    runs: Sequence[MeasuredRun],
    pictures: Sequence[Sequence[Panel]] = (),
) -> None:
    """Writes the report of ``runs[0]`` and compares it with the other runs.

    Args:
        path: path of the HTML file. The file contains everything and loads nothing from the
            network.
        runs: runs returned by :func:`sakd_dense.report.run.measure_run`.
        pictures: pictures returned by :func:`sakd_dense.report.samples.sample_pictures`.

    Raises:
        UserError: a run has no metric at any T, or another metric than the first run.

    Example:
        >>> from sakd_dense.report import measure_run, open_run, write_page
        >>> run = open_run("work_dirs/retinanet_sew18_sakd_digits")  # doctest: +SKIP
        >>> write_page("report.html", [measure_run(run, (1, 2, 4), samples=8)])  # doctest: +SKIP
    """
    run = runs[0]
    metric = run.sweep.main_metric or "metric"
    for each in runs:
        if not each.values(metric):
            raise UserError(
                f"{each.folder}: its test has no {metric} at any T (a detector without detections "
                "has none): train longer, or compare runs on the same test set"
            )
    curves = partial(figures.metric_over_time_steps, runs=runs, metric=metric)
    fronts = [
        partial(figures.pareto, runs=runs, metric=metric, convention=name) for name in CONVENTIONS
    ]
    rates = partial(figures.heat_map, report=run.energy)
    rates_height = max(3.0, 0.17 * len(figures.firing_layers(run.energy)) + 0.8)
    losses = partial(figures.losses, run=run) if len(run.logged_losses) > 1 else None
    text = Environment(autoescape=True).from_string(TEMPLATE)
    page = text.render(
        title=run.name,
        answer=answer(run, metric),
        rows=_rows(run),
        columns=[*metric_columns(run.sweep.rows).values(), "firing rate", "ms per image"],
        accuracy=svg_of(curves),
        paretos=[svg_of(front) for front in fronts],
        heat=svg_of(rates, height=rates_height),
        losses=losses and svg_of(losses, height=4.2),
        energy=run.energy.summary(),
        estimates=run.energy.estimates(),
        layers=run.energy.layers(max(run.energy.readings)),
        notes=[*run.sweep.notes().splitlines(), *run.energy.notes().splitlines()],
        pictures=[[(panel.title, _jpeg(panel)) for panel in row] for row in pictures],
        config=run.cfg.pretty_text,
        commands=_commands(run),
        versions={**run.sweep.versions, "device": run.sweep.device},
        run=run,
        others=runs[1:],
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def answer(run: MeasuredRun, metric: str) -> list[str]:
    """Returns the deciding figures as sentences, at the config's T or at the largest T measured.

    A T without a metric or without energy is ignored.
    """
    values = run.values(metric)
    both = [t for t in run.energy.readings if t in values]
    if not both:
        return [f"No T has both {metric} and energy."]
    configured = run.cfg.model.get("backbone", {}).get("time_steps")
    t = configured if configured in both else max(both)
    first = f"At T = {t} the spiking model has {metric} {values[t]:.3f}"
    teacher = run.teacher_value(metric)
    if teacher is not None:
        first += f"; its ANN teacher has {teacher:.3f} ({values[t] - teacher:+.3f})"
    sentences = [first + "."]
    macs = run.energy.teacher.total().operations.dense * 1e-9
    ann = macs * run.energy.e_mac
    quantised = " and ".join(
        f"{macs * e_mac:.2f} mJ in {name}" for name, e_mac in run.energy.quantised().items()
    )
    for convention, name in CONVENTIONS.items():
        mj = run.energy.millijoule(run.energy.readings[t].total().operations, convention)
        sentences.append(
            f"By the {name} convention an image takes {mj:.2f} mJ, {mj / ann:.2f} of the ANN's "
            f"{ann:.2f} mJ; the same ANN quantised would take {quantised}."
        )
    return sentences


def _rows(run: MeasuredRun) -> list[list[str]]:
    names = list(metric_columns(run.sweep.rows))
    rows: list[tuple[str, dict[str, Any]]] = list(run.sweep.labelled().items())
    if run.teacher_sweep is not None:
        rows.append(("ANN", run.teacher_sweep.rows[None, None]))
    digits = {**dict.fromkeys((*names, FIRING_RATE), 3), MS: 1}
    return [[t, *(_number(row.get(name), d) for name, d in digits.items())] for t, row in rows]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.{digits}f}"


def _commands(run: MeasuredRun) -> dict[str, str]:
    commands = {
        "training": run.cfg.get("command") or "",
        "test": " ".join(run.sweep.command),
        "energy": " ".join(run.energy.command),
    }
    return {name: command for name, command in commands.items() if command}


def _jpeg(panel: Panel) -> str:
    return base64.b64encode(jpeg_of(panel)).decode()


__all__ = ["answer", "write_page"]
