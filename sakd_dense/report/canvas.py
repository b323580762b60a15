"""Matplotlib figures without pyplot, which would select a window system and keep every figure."""

import io
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..runtime.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty figure of a size in inches, with a layout that cuts off no label."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_png(figure: "Figure", path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Writes the figure as a PNG, completely or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)


def svg_of(draw: Callable[["Axes"], Any], width: float = 6.4, height: float = 3.6) -> str:
    """Returns the drawing of ``draw(axes)`` as an ``<svg>`` element that scales with its page."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "sakd"}):
        figure = new_figure(width, height)
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # Only the view box stays: the page sets the width.
    return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*"', r"\1", svg, count=2)
