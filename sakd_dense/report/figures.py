"""The report's figures, as SVG that scales with the page."""

import io
import re
from collections.abc import Sequence
from typing import Any

from ..energy.conventions import CONVENTIONS
from ..timesteps.result import SweepResult
from .energy_plot import firing_layers
from .run import Run

#: (T or None, mJ, accuracy)
Point = tuple[int | None, float, float]


def figure_svg(draw: Any, width: float = 6.4, height: float = 3.6) -> str:
    """What ``draw(axes)`` draws, as an ``<svg>`` element."""
    # Not pyplot: it would pick a window system and keep every figure.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "sakd"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # The view box alone: the page says how wide it is.
    return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*"', r"\1", svg, count=2)


def accuracy(runs: Sequence[Run], metric: str) -> str:
    """The metric over T, and the teacher's as a line."""

    def draw(axes: Any) -> None:
        for run in runs:
            rows = run.sweep.rows
            steps = sorted(t for t in rows if t is not None)
            axes.plot(steps, [rows[t][metric] for t in steps], "o-", label=run.name)
        teacher = teacher_value(runs[0].teacher_sweep, metric)
        if teacher is not None:
            axes.axhline(teacher, color="black", linestyle="--", label="ANN teacher")
        steps = sorted({t for run in runs for t in run.sweep.rows if t is not None})
        axes.set_xscale("log", base=2)
        axes.set_xticks(steps, [str(t) for t in steps])
        axes.minorticks_off()
        axes.set_xlabel("T")
        axes.set_ylabel(metric)
        axes.legend()
        axes.grid(alpha=0.3)

    return figure_svg(draw)


def teacher_value(found: SweepResult | None, metric: str) -> float | None:
    return found.rows[None].get(metric) if found is not None else None


def points(run: Run, metric: str, convention: str) -> list[Point]:
    """Energy and accuracy at every T that both were measured at."""
    both = [t for t in run.energy.readings if t in run.sweep.rows]
    return [
        (
            t,
            run.energy.millijoule(run.energy.readings[t].total().operations, convention),
            run.sweep.rows[t][metric],
        )
        for t in both
    ]


def front(found: Sequence[Point]) -> list[Point]:
    """Those of ``found`` that no other beats in both energy and accuracy, by energy."""
    best: list[Point] = []
    for point in sorted(found, key=lambda p: (p[1], -p[2])):
        if not best or point[2] > best[-1][2]:
            best.append(point)
    return best


def pareto(runs: Sequence[Run], metric: str, convention: str) -> str:
    """Accuracy against energy; the line joins what nothing else beats."""

    def draw(axes: Any) -> None:
        every: list[Point] = []
        for run in runs:
            found = points(run, metric, convention)
            every += found
            axes.scatter([p[1] for p in found], [p[2] for p in found], label=run.name, zorder=3)
            for t, mj, value in found:
                axes.annotate(f"T={t}", (mj, value), xytext=(4, 4), textcoords="offset points")
        teacher = teacher_value(runs[0].teacher_sweep, metric)
        if teacher is not None:
            energy = runs[0].energy
            macs = energy.teacher.total().operations.dense * 1e-9
            axes.scatter([macs * energy.e_mac], [teacher], c="black", marker="s", label="ANN")
            every.append((None, macs * energy.e_mac, teacher))
        best = front(every)
        axes.plot([p[1] for p in best], [p[2] for p in best], "--", color="gray", label="front")
        axes.set_xlabel(f"mJ an image, {CONVENTIONS[convention]}")
        axes.set_ylabel(metric)
        axes.legend()
        axes.grid(alpha=0.3)

    return figure_svg(draw)


def heat_map(run: Run) -> str:
    """Firing rates, a row a layer of neurons, a column a T."""
    names, readings = firing_layers(run.energy), run.energy.readings

    def draw(axes: Any) -> None:
        rates = [[r.layers[n].spikes.rate for r in readings.values()] for n in names]
        image = axes.imshow(rates, aspect="auto", cmap="viridis", vmin=0)
        short = [n.removeprefix("backbone.") for n in names]
        axes.set_yticks(range(len(names)), short, fontsize=7)
        axes.set_xticks(range(len(readings)), [f"T={t}" for t in readings])
        if len(names) <= 40:
            top = max(max(row) for row in rates)
            for i, row in enumerate(rates):
                for j, value in enumerate(row):
                    ink = "black" if value > 0.6 * top else "white"
                    axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
        axes.figure.colorbar(image, ax=axes, label="spikes a neuron and step")

    return figure_svg(draw, height=max(3.0, 0.17 * len(names) + 0.8))


def losses(run: Run) -> str | None:
    """Every term of the loss over the iterations; None if nothing was logged."""
    logged = [e for e in run.scalars if "loss" in e]
    terms = sorted({k for e in logged for k in e if "loss" in k})
    if len(logged) < 2:
        return None

    def draw(axes: Any) -> None:
        for term in terms:
            pairs = [(e["step"], e[term]) for e in logged if e.get(term) is not None]
            style = "-" if "sakd" in term else "--"
            axes.plot(*zip(*pairs, strict=True), style, label=term, linewidth=1)
        axes.set_yscale("log")
        axes.set_xlabel("iteration")
        axes.legend(fontsize=6, ncols=2)
        axes.grid(alpha=0.3)

    return figure_svg(draw, height=4.2)
