"""Matplotlib figures without pyplot, which would pick a window system and keep every figure."""

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
    """An empty figure, inches; its axes share the space so that no label is cut off."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_png(figure: "Figure", path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Writes the figure as a PNG, which is there whole or not at all."""
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
    # The view box alone: the page says how wide it is.
    return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*"', r"\1", svg, count=2)
