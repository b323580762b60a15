"""Files of digit scenes: a small set that is generated on first use and needs no download.

Real handwritten digits (scikit-learn's copy of the UCI set, 1797 scans of 8x8) are scattered over
textured backgrounds. One set serves detection (COCO JSON with boxes and masks) and segmentation
(label PNGs). Train, val and test use different scans.

    data/digits/stamp.json               the parameters the files were made from
                annotations/train.json   COCO; masks as run lengths
                images/train/00000.png   RGB
                labels/train/00000.png   0 for background, digit + 1 elsewhere
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_tools

from .generated import SPLITS, ensure, stamp, write_json
from .scans import load_scans
from .scenes import CLASSES, VERSION, Scene, SceneParameters, draw_scene

PALETTE = [
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
    (145, 30, 180), (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212),
]  # fmt: skip


def ensure_digit_scenes(data_root: str | Path, parameters: SceneParameters) -> None:
    """Generates the set unless ``data_root`` already contains it, see :func:`.generated.ensure`.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.datasets import SceneParameters, ensure_digit_scenes
        >>> ensure_digit_scenes("scenes", SceneParameters(counts=(2, 1, 1)))
        >>> len(list(Path("scenes/images/train").iterdir()))
        2
    """
    ensure(
        data_root,
        "digit scenes",
        stamp(parameters, VERSION),
        lambda folder: write_digit_scenes(folder, parameters),
    )


def write_digit_scenes(folder: Path, parameters: SceneParameters) -> None:
    """Writes the complete set into an existing, empty folder."""
    parts = load_scans(parameters.seed)
    for index, (split, count) in enumerate(zip(SPLITS, parameters.counts, strict=True)):
        coco = _empty_coco()
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            # One generator per scene: a set with more scenes begins with the same ones.
            rng = np.random.default_rng([parameters.seed, index, number])
            scene = draw_scene(rng, *parts[index], parameters)
            name = f"{number:05d}.png"
            Image.fromarray(scene.image).save(folder / "images" / split / name)
            Image.fromarray(scene.label_map).save(folder / "labels" / split / name)
            _add_to_coco(coco, scene, number, name)
        write_json(folder / "annotations" / f"{split}.json", coco)


def _empty_coco() -> dict[str, list[dict[str, Any]]]:
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES)]
    return dict(images=[], annotations=[], categories=categories)


def _add_to_coco(
    coco: dict[str, list[dict[str, Any]]], scene: Scene, number: int, name: str
) -> None:
    height, width = scene.image.shape[:2]
    coco["images"].append(dict(id=number, file_name=name, width=width, height=height))
    for mask, digit in zip(scene.masks, scene.digits, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue  # completely covered by other digits
        x, y = int(columns[0]), int(rows[0])
        run_lengths = mask_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
        coco["annotations"].append(
            dict(
                id=len(coco["annotations"]) + 1,  # COCO's evaluation reads id 0 as "no match"
                image_id=number,
                category_id=digit,
                bbox=[x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
                area=int(mask.sum()),
                iscrowd=0,
                segmentation=dict(
                    size=[height, width], counts=run_lengths["counts"].decode("ascii")
                ),
            )
        )


__all__ = ["PALETTE", "ensure_digit_scenes", "write_digit_scenes"]
