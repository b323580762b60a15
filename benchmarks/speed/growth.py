"""Growth of the backbone's cost with T, image size and batch, compared with its ANN twin."""

from pathlib import Path
from typing import Any

from benchmarks.speed import backbone
from benchmarks.speed.backbone import INFERENCE, ONE, OURS, THEIRS, TRAINING, TWIN

#: The values of each axis. The other axes stay at T = 4, B = 2, 128x128.
AXES: dict[str, tuple[int, ...]] = {
    "T": (1, 2, 4, 8, 16),
    "image size": (64, 128, 256, 512),
    "batch": (1, 2, 4, 8, 16),
}
_OPTION = {"T": "--time-steps", "image size": "--size", "batch": "--batch-size"}


def measure_growth(rounds: int, threads: int, quick: bool) -> list[dict[str, Any]]:
    """Returns an entry for each value of each axis: times and ratios of inference and training."""
    found = []
    for axis, values in AXES.items():
        for value in values[:2] if quick else values:
            size = [str(value)] * (2 if axis == "image size" else 1)
            given = ["--depth", "18", "--no-memory", "--without", THEIRS, ONE]
            given += ["--rounds", str(rounds), "--threads", str(threads), _OPTION[axis], *size]
            result = backbone.compare(backbone.arguments().parse_args(given))
            works = {work: result[work] for work in (INFERENCE, TRAINING)}
            found.append(dict(axis=axis, value=value, **works))
    return found


def table_of_growth(found: list[dict[str, Any]]) -> str:
    """Returns the entries as a Markdown table."""
    lines = ["| what grows | value | inference, ms | / twin | training step, ms | / twin |"]
    lines.append("|---" * 6 + "|")
    for entry in found:
        cells = []
        for work in (INFERENCE, TRAINING):
            cells += [f"{entry[work][OURS]['median']:.0f}", f"{entry[work][OURS]['ratio']:.2f}"]
        lines.append(f"| {entry['axis']} | {entry['value']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot_growth(found: list[dict[str, Any]], path: Path) -> None:
    """Plots one panel for each axis, with both scales logarithmic.

    A panel shows inference and training, with solid lines for ours and dashed lines for the twin.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(AXES), sharey=True)
    for panel, axis in zip(panels, AXES, strict=True):
        entries = [e for e in found if e["axis"] == axis]
        values = [e["value"] for e in entries]
        for color, work in (("C0", INFERENCE), ("C3", TRAINING)):
            for side, style, label in ((OURS, "-o", "SEW-ResNet-18"), (TWIN, "--", TWIN)):
                ms = [e[work][side]["median"] for e in entries]
                name = f"{work.removesuffix(', ms')}: {label}"
                panel.plot(values, ms, style, color=color, label=name)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(values, [str(v) for v in values])
        panel.set_xlabel(axis)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("ms")
    panels[0].legend(fontsize=7)
    figure.savefig(path, dpi=110, format="png")
