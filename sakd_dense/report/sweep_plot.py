"""A picture of a sweep: the metrics, the firing rate and the time over T."""

from pathlib import Path

from ..runtime.files import replacing
from ..timesteps.table import FIRING_RATE, MS, Rows, metric_columns


def plot(rows: Rows, path: str | Path, title: str = "") -> None:
    """Writes a PNG with one panel each for metrics, firing rate and ms an image.

    Args:
        rows: metrics by T; an ANN's row (T is None) is drawn as a dashed line.
        path: of the PNG.
        title: above the panels.
    """
    # Not pyplot: it would pick a window system and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {"metric": metric_columns(rows)}
    for name, label in ((FIRING_RATE, "firing rate"), (MS, "ms an image, T alone")):
        if any(name in row for row in rows.values()):
            panels[label] = {name: label}
    panels = {label: names for label, names in panels.items() if names}
    figure = Figure(figsize=(4 * max(len(panels), 1), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    steps = sorted(t for t in rows if t is not None)
    for i, (label, names) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for name, heading in names.items():
            line = axes.plot(steps, [rows[t].get(name) for t in steps], "o-", label=heading)
            if None in rows and name in rows[None]:
                axes.axhline(rows[None][name], color=line[0].get_color(), linestyle="--")
        if steps:
            axes.set_xscale("log", base=2)
            axes.set_xticks(steps, [str(t) for t in steps])
            axes.minorticks_off()
        axes.set_xlabel("T")
        axes.set_ylabel(label if len(names) == 1 and label != "metric" else "")
        if label == "metric":
            axes.legend(fontsize=8)
        else:
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
