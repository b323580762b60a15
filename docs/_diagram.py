"""Draws `docs/images/sakd.svg`, the two levels of SAKD: ``python docs/_diagram.py``."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

OUT = Path(__file__).parent / "images" / "sakd.svg"
ANN, SNN, TEACH = "#4c72b0", "#dd8452", "#55a868"
STAGES = ("stem", "stage 1", "stage 2", "stage 3", "stage 4", "neck, head")


def box(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    """A part of a network."""
    style = FancyBboxPatch(
        (x, y), 1.5, 0.7, boxstyle="round,pad=0.04", facecolor=color, edgecolor="none", alpha=0.9
    )
    axes.add_patch(style)
    axes.text(x + 0.75, y + 0.35, text, ha="center", va="center", color="white", fontsize=11)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], **style: object
) -> None:
    """From one part to another."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, **style))


def draw() -> None:
    """Writes the picture."""
    plt.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "sakd", "font.family": "sans-serif"}
    )
    figure, axes = plt.subplots(figsize=(11, 4.2))
    for row, (y, color) in enumerate(((2.6, ANN), (0.4, SNN))):
        for i, name in enumerate(STAGES):
            x = 1.9 * i
            box(axes, x, y, name, color)
            if i:
                arrow(axes, (x - 0.34, y + 0.35), (x - 0.06, y + 0.35), color="#555555")
        where = y + 0.95 if row == 0 else y - 0.35
        text = (
            "ANN, frozen: the teacher (activations)",
            "SNN: the student (spikes at T time steps, averaged to firing rates)",
        )[row]
        axes.text(0, where, text, color=color, fontsize=12, weight="bold", va="center")
    for i in range(len(STAGES)):
        x = 1.9 * i
        arrow(axes, (x + 0.45, 2.5), (x + 0.45, 1.2), color="#999999", linestyle=(0, (3, 2)))
        if i:
            arrow(axes, (x + 1.05, 2.5), (x + 1.05, 1.2), color=TEACH, linewidth=2)
    axes.text(0.55, 1.85, "level 1: weights", color="#777777", fontsize=11, va="center")
    white = dict(facecolor="white", edgecolor="none", pad=2)
    axes.text(5.0, 1.85, "level 2: features", color=TEACH, fontsize=11, va="center", bbox=white)
    axes.text(10.75, 1.85, "level 2:\nresponses", color=TEACH, fontsize=11, va="center")
    axes.set_xlim(-0.2, 12.6)
    axes.set_ylim(-0.3, 3.9)
    axes.axis("off")
    figure.tight_layout()
    figure.savefig(OUT, metadata={"Date": None})


if __name__ == "__main__":
    draw()
