"""A picture of an energy report: firing rates by layer and T, energy by part."""

from pathlib import Path

from ..energy.conventions import CONVENTIONS
from ..energy.report import EnergyReport
from ..runtime.files import replacing


def plot(report: EnergyReport, path: str | Path) -> None:
    """Writes a PNG: a heat map of the firing rates, and bars of mJ beside the ANN's."""
    # Not pyplot: it would pick a window system and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(Path(report.config).stem, fontsize=10)
    left, *right = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
    steps, names = list(report.readings), firing_layers(report)
    rates = [[report.readings[t].layers[n].spikes.rate for t in steps] for n in names]
    image = left.imshow(rates, aspect="auto", cmap="viridis", vmin=0)
    left.set_yticks(range(len(names)), names, fontsize=max(3, min(7, 220 // max(len(names), 1))))
    left.set_xticks(range(len(steps)), [str(t) for t in steps])
    left.set_xlabel("T")
    left.set_title("firing rate", fontsize=9)
    figure.colorbar(image, ax=left)
    for axes, (convention, title) in zip(right, CONVENTIONS.items(), strict=True):
        labels = [*map(str, steps), "ANN", "ANN\nint8"]
        bottom = [0.0] * len(labels)
        for part in report.readings[steps[0]].parts():
            found = [*report.readings.values(), report.teacher]
            values = [report.millijoule(r.total(part).operations, convention) for r in found]
            values.append(report.teacher.total(part).operations.dense * report.e_mac_int8 * 1e-9)
            axes.bar(labels, values, bottom=bottom, label=part)
            bottom = [a + b for a, b in zip(bottom, values, strict=True)]
        axes.set_title(f"mJ an image, {title}", fontsize=9)
        axes.set_xlabel("T")
        axes.legend(fontsize=7)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def firing_layers(report: EnergyReport) -> list[str]:
    """The layers of neurons."""
    reading = next(iter(report.readings.values()))
    return [name for name, layer in reading.layers.items() if layer.spikes.neurons]
