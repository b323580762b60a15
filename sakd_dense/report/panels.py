"""Drawing for all three tasks: an image with boxes, masks, a label map or its class."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Color = tuple[float, float, float]
#: mmdet's panoptic maps hold class + 1000 * instance.
_INSTANCE_OFFSET = 1000


@dataclass
class Classes:
    """Names and colours of the classes, by index.

    Either may be shorter than the number of classes.

    Attributes:
        names: names of the classes. A class without a name is shown by its index.
        palette: RGB from 0 to 255. A class without a colour gets one of Matplotlib's ``tab20``.
    """

    names: Sequence[str] = ()
    palette: Sequence[Sequence[int]] = ()

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any]) -> "Classes":
        """Returns the classes of a data set's ``metainfo``."""
        palette = meta.get("palette", ())
        if palette is None or isinstance(palette, str):  # mmdet's 'coco' or 'random'
            palette = ()
        return cls(meta.get("classes") or (), palette)

    def name(self, label: int) -> str:
        return str(self.names[label]) if label < len(self.names) else str(label)

    def color(self, label: int) -> Color:
        from matplotlib import colormaps

        if label < len(self.palette):
            red, green, blue = (value / 255 for value in self.palette[label])
            return red, green, blue
        return colormaps["tab20"](label % 20)[:3]


@dataclass
class Panel:
    """An image with the content to draw on it.

    Attributes:
        title: title above the image.
        image: ``[H, W, 3]`` uint8, RGB.
        boxes: ``[N, 4]``, x1, y1, x2, y2 in pixels, or None for a task without boxes.
        captions, colors: one for each box; colours are RGB from 0 to 1.
        overlay: ``[H, W, 4]`` RGBA from 0 to 1 of masks or a label map, or None.
        text: class of the image, or None.
        summary: description of the drawn content in words.
    """

    title: str
    image: np.ndarray
    boxes: np.ndarray | None = None
    captions: list[str] = field(default_factory=list)
    colors: list[Color] = field(default_factory=list)
    overlay: np.ndarray | None = None
    text: str | None = None
    summary: str = ""

    def add_instances(
        self,
        classes: Classes,
        boxes: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray | None = None,
        masks: np.ndarray | None = None,
    ) -> None:
        """Adds boxes and their masks.

        Args:
            classes: names and colours of the classes.
            boxes: ``[N, 4]``.
            labels: ``[N]``, class indices.
            scores: ``[N]`` from 0 to 1, or None for true boxes.
            masks: ``[N, H, W]`` bool, or None.
        """
        self.boxes = boxes
        self.captions = [classes.name(label) for label in labels]
        self.colors = [classes.color(label) for label in labels]
        if scores is not None:
            self.captions = [f"{c} {s:.2f}" for c, s in zip(self.captions, scores, strict=True)]
        if masks is not None and self.overlay is None:
            self.overlay = np.zeros((*self.image.shape[:2], 4))
            for mask, color in zip(masks, self.colors, strict=True):
                self.overlay[mask.astype(bool)] = (*color, 0.4)
        self.summary = f"{len(boxes)} boxes"

    def add_label_map(self, classes: Classes, labels: np.ndarray) -> None:
        """Adds a label map ``[H, W]`` of class indices, semantic or panoptic.

        Pixels without a class (255, void) stay as they are in the image.
        """
        self.overlay = np.zeros((*labels.shape, 4))
        shares: dict[str, float] = {}
        count = len(classes.names) or 255
        for value in np.unique(labels):
            label, where = int(value) % _INSTANCE_OFFSET, labels == value
            if label < count:
                self.overlay[where] = (*classes.color(label), 0.6)
                name = classes.name(label)
                shares[name] = shares.get(name, 0.0) + float(where.mean())
        largest = sorted(shares.items(), key=lambda item: -item[1])
        self.summary = ", ".join(f"{name} {share:.1%}" for name, share in largest)

    def add_text(self, text: str) -> None:
        """Adds the class of the image."""
        self.text = self.summary = text


def draw(axes: "Axes", panel: Panel) -> None:
    """Draws the panel, without its title."""
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    axes.imshow(panel.image)
    if panel.overlay is not None:
        axes.imshow(panel.overlay, interpolation="nearest")
    boxes = () if panel.boxes is None else np.asarray(panel.boxes, dtype=float)
    for (x1, y1, x2, y2), caption, color in zip(boxes, panel.captions, panel.colors, strict=True):
        axes.add_patch(
            Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.2)
        )
        style: dict[str, Any] = dict(facecolor=color, edgecolor="none", pad=0.6, alpha=0.8)
        ink = "black" if np.dot(color, (0.3, 0.59, 0.11)) > 0.5 else "white"
        # The caption goes inside the box if there is no room above it.
        side = "top" if y1 < 0.04 * panel.image.shape[0] else "bottom"
        axes.text(x1, y1, caption, fontsize=5, color=ink, bbox=style, va=side, clip_on=True)
    if panel.text is not None:
        style = dict(facecolor="black", edgecolor="none", pad=2, alpha=0.6)
        corner = axes.text(0.02, 0.98, panel.text, color="white", bbox=style, fontsize=9, va="top")
        corner.set_transform(axes.transAxes)


def save_panels(
    panels: Sequence[Panel], path: str | os.PathLike[str], panel_inches: float = 5.0
) -> None:
    """Writes the panels of one image side by side, with their titles, as one PNG."""
    height, width = panels[0].image.shape[:2]
    figure = new_figure(panel_inches * len(panels), panel_inches * height / width + 0.3)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set_title(panel.title, fontsize=9)
        draw(axes, panel)
    save_png(figure, path, dpi=150)


def jpeg_of(panel: Panel, panel_inches: float = 3.2) -> bytes:
    """Returns the panel without its title, as a JPEG."""
    from matplotlib.figure import Figure

    height, width = panel.image.shape[:2]
    figure = Figure(figsize=(panel_inches, panel_inches * height / width))
    draw(figure.add_axes((0, 0, 1, 1)), panel)
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", dpi=150, pil_kwargs={"quality": 85})
    return file.getvalue()
