"""All plots of the package, one function each, which draws into axes.

The page of the report embeds them as SVG. tools/test.py and tools/energy.py write them as PNG files
with :func:`save_readings` and :func:`save_energy`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..energy.conventions import CONVENTIONS
from ..energy.report import EnergyReport
from ..timesteps.result import SweepResult
from ..timesteps.table import FIRING_RATE, MS, metric_columns
from .canvas import new_figure, save_png
from .run import MeasuredRun, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: (T or None, mJ, metric)
Point = tuple[int | None, float, float]


def over_time_steps(
    axes: "Axes", curves: Mapping[str, Mapping[Any, float | None]], label: str = ""
) -> None:
    """Plots values over T, one curve for each name.

    Args:
        axes: axes to draw into.
        curves: by name, the value at each T. A curve has no point where the value is None. A value
            under the key None (that of an ANN) becomes a dashed line.
        label: label of the vertical axis.
    """
    steps = sorted({t for values in curves.values() for t in values if t is not None})
    for name, values in curves.items():
        known = [(t, v) for t in steps if (v := values.get(t)) is not None]
        (line,) = axes.plot([t for t, _ in known], [v for _, v in known], "o-", label=name)
        if (level := values.get(None)) is not None:
            axes.axhline(level, color=line.get_color(), linestyle="--")
    if steps:
        axes.set_xscale("log", base=2)
        axes.set_xticks(steps, [str(t) for t in steps])
        axes.minorticks_off()
    axes.set_xlabel("T")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)


def metric_over_time_steps(axes: "Axes", runs: Sequence[MeasuredRun], metric: str) -> None:
    """Plots the metric of every run over T, and the teacher's as a line."""
    over_time_steps(axes, {run.name: run.values(metric) for run in runs}, metric)
    teacher = runs[0].teacher_value(metric)
    if teacher is not None:
        axes.axhline(teacher, color="black", linestyle="--", label="ANN teacher")
    axes.legend()


def save_readings(result: SweepResult, path: str | os.PathLike[str]) -> None:
    """Writes a PNG with one panel each for metrics, firing rate and ms per image, over T.

    With several D, the metric panel shows only the main metric, and each panel has a curve per D.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.report import save_readings
        >>> from sakd_dense.timesteps import SweepResult
        >>> rows = {(1, None): {"mIoU": 40.0}, (4, None): {"mIoU": 45.5}}
        >>> save_readings(SweepResult(rows=rows), "sweep.png")
        >>> Path("sweep.png").is_file()
        True
    """
    by_count = {d: result.at_counts(d) for d in result.counts}
    every = list(result.rows.values())
    metrics = metric_columns(result.rows)
    if result.counts != [None]:
        metrics = {n: h for n, h in metrics.items() if n == result.main_metric}
    panels = {"metric": metrics}
    for name, label in ((FIRING_RATE, "firing rate"), (MS, "ms per image, T alone")):
        if any(name in row for row in every):
            panels[label] = {name: label}
    panels = {label: names for label, names in panels.items() if names}
    figure = new_figure(4 * max(len(panels), 1), 3.2)
    figure.suptitle(Path(result.config).stem, fontsize=10)
    for i, (label, names) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), i)
        curves = {
            h if d is None else f"{h}, D = {d}": {t: row.get(n) for t, row in rows.items()}
            for n, h in names.items()
            for d, rows in by_count.items()
        }
        over_time_steps(axes, curves, "" if label == "metric" else label)
        if label == "metric":
            axes.legend(fontsize=8)
        else:
            axes.set_ylim(bottom=0)
    save_png(figure, path)


def firing_layers(report: EnergyReport) -> list[str]:
    """Returns the names of the layers of neurons."""
    reading = next(iter(report.readings.values()))
    return [name for name, layer in reading.layers.items() if layer.spikes.neurons]


def heat_map(axes: "Axes", report: EnergyReport) -> None:
    """Draws the firing rates, with a row for each layer of neurons and a column for each T."""
    names, readings = firing_layers(report), report.readings
    rates = [[r.layers[n].spikes.rate for r in readings.values()] for n in names]
    image = axes.imshow(rates, aspect="auto", cmap="viridis", vmin=0)
    size = max(3, min(7, 280 // max(len(names), 1)))
    axes.set_yticks(range(len(names)), [n.removeprefix("backbone.") for n in names], fontsize=size)
    axes.set_xticks(range(len(readings)), [f"T={t}" for t in readings])
    if len(names) <= 40:
        top = max((max(row) for row in rates), default=0)
        for i, row in enumerate(rates):
            for j, value in enumerate(row):
                ink = "black" if value > 0.6 * top else "white"
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
    axes.figure.colorbar(image, ax=axes, label="spikes per neuron and time step")


def energy_bars(axes: "Axes", report: EnergyReport, convention: str) -> None:
    """Draws mJ per image by part, at each T, of the ANN and of the quantised ANN."""
    quantised = report.quantised()
    labels = [*map(str, report.readings), "ANN", *(f"ANN\n{name}" for name in quantised)]
    bottom = [0.0] * len(labels)
    for part in next(iter(report.readings.values())).parts():
        readings = [*report.readings.values(), report.teacher]
        values = [report.millijoule(r.total(part).operations, convention) for r in readings]
        macs = report.teacher.total(part).operations.dense
        values += [macs * e_mac * 1e-9 for e_mac in quantised.values()]
        axes.bar(labels, values, bottom=bottom, label=part)
        bottom = [a + b for a, b in zip(bottom, values, strict=True)]
    axes.set_title(f"mJ per image, {CONVENTIONS[convention]}", fontsize=9)
    axes.set_xlabel("T")
    axes.legend(fontsize=7)


def save_energy(report: EnergyReport, path: str | os.PathLike[str]) -> None:
    """Writes a PNG with a heat map of the firing rates, and bars of mJ next to those of the ANN.

    Example:
        >>> from sakd_dense.energy import EnergyReport
        >>> from sakd_dense.report import save_energy
        >>> report = EnergyReport.from_json("energy.json")  # doctest: +SKIP
        >>> save_energy(report, "energy.png")  # doctest: +SKIP
    """
    figure = new_figure(12, 5)
    figure.suptitle(Path(report.config).stem, fontsize=10)
    left, *right = figure.subplots(1, 1 + len(CONVENTIONS), width_ratios=(1.4, 1, 1))
    heat_map(left, report)
    left.set_title("firing rate", fontsize=9)
    for axes, convention in zip(right, CONVENTIONS, strict=True):
        energy_bars(axes, report, convention)
    save_png(figure, path)


def points(run: MeasuredRun, metric: str, convention: str) -> list[Point]:
    """Returns the energy and the metric at every T that has both."""
    energy = run.energy
    return [
        (t, energy.millijoule(energy.readings[t].total().operations, convention), value)
        for t, value in run.values(metric).items()
        if t in energy.readings
    ]


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Returns the points that no other point beats in both energy and metric, sorted by energy."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p[1], -p[2])):
        if not best or point[2] > best[-1][2]:
            best.append(point)
    return best


def pareto(axes: "Axes", runs: Sequence[MeasuredRun], metric: str, convention: str) -> None:
    """Plots the metric against energy, with a line through the points that no other point beats."""
    every: list[Point] = []
    for run in runs:
        of_run = points(run, metric, convention)
        every += of_run
        axes.scatter([p[1] for p in of_run], [p[2] for p in of_run], label=run.name, zorder=3)
        for t, mj, value in of_run:
            axes.annotate(f"T={t}", (mj, value), xytext=(4, 4), textcoords="offset points")
    teacher = runs[0].teacher_value(metric)
    if teacher is not None:
        energy = runs[0].energy
        mj = energy.teacher.total().operations.dense * 1e-9 * energy.e_mac
        axes.scatter([mj], [teacher], c="black", marker="s", label="ANN")
        every.append((None, mj, teacher))
    best = pareto_front(every)
    axes.plot([p[1] for p in best], [p[2] for p in best], "--", color="gray", label="front")
    axes.set_xlabel(f"mJ per image, {CONVENTIONS[convention]}")
    axes.set_ylabel(metric)
    axes.legend()
    axes.grid(alpha=0.3)


def losses(axes: "Axes", run: Run) -> None:
    """Plots every term of the loss over the iterations, on a logarithmic scale."""
    logged = run.logged_losses
    for term in sorted({k for entry in logged for k in entry if "loss" in k}):
        pairs = [(e["step"], e[term]) for e in logged if e.get(term) is not None]
        style = "-" if "sakd" in term else "--"
        axes.plot(*zip(*pairs, strict=True), style, label=term, linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel("iteration")
    axes.legend(fontsize=6, ncols=2)
    axes.grid(alpha=0.3)
