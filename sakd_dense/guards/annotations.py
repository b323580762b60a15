"""Checks of annotation files in COCO's format."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime.arguments import is_integer

_HELP = "see https://cocodataset.org/#format-data for the format"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _size(value: Any) -> bool:
    return is_integer(value) and value > 0


def _box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_number, value))


def _name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _outline(value: Any) -> bool:
    """Returns whether ``value`` is polygons ``[[x1, y1, x2, ...], ...]`` or a run-length code."""
    if isinstance(value, Mapping):
        size, counts = value.get("size"), value.get("counts")
        if not (isinstance(size, list) and len(size) == 2 and all(map(_size, size))):
            return False
        if isinstance(counts, str):  # compressed: only pycocotools can decode it
            return True
        if not isinstance(counts, list) or not all(is_integer(c) and c >= 0 for c in counts):
            return False
        return sum(counts) == size[0] * size[1]
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 and all(map(_number, p))
            for p in value
        )
    )


#: List -> required key of every item -> (check, description of a valid value).
_REQUIRED: dict[str, dict[str, tuple[Callable[[Any], bool], str]]] = {
    "images": {
        "id": (is_integer, "an integer"),
        "file_name": (_name, "a file's name"),
        "width": (_size, "a positive integer of pixels"),
        "height": (_size, "a positive integer of pixels"),
    },
    "categories": {"id": (is_integer, "an integer"), "name": (_name, "a name")},
    "annotations": {
        "id": (is_integer, "an integer"),
        "image_id": (is_integer, "an integer"),
        "category_id": (is_integer, "an integer"),
        "bbox": (_box, "[x, y, width, height] in pixels"),
        "area": (_number, "a number of pixels"),
    },
}
_OUTLINE = {"segmentation": (_outline, "polygons [[x1, y1, x2, ...]] or a run-length code")}


def coco_fault(
    file: str | Path, masks: bool = False, classes: Sequence[str] | None = None
) -> str | None:
    """Describes the first fault of an annotation file in COCO's format.

    Args:
        file: path of the annotation file.
        masks: whether every annotation must have a segmentation.
        classes: the classes of the data set, at least one of which must be a category of the file.
            None accepts any categories.

    Returns:
        A message with the file and the fault. None if the file has no fault or cannot be opened.
    """
    try:
        content = json.loads(Path(file).read_bytes())
    except OSError:
        return None  # another check reports missing files
    except (ValueError, RecursionError) as error:
        return f"{file} is not a complete JSON file: {error}"
    fault = next(_faults(content, masks), None)
    if fault is not None:
        return f"{file}: {fault}; {_HELP}"
    found = [category["name"] for category in content["categories"]]
    if classes is not None and not set(classes) & set(found):
        return (
            f"{file}: none of its categories ({_short(found)}) is a class of the data set "
            f"({_short(list(classes))}): set metainfo=dict(classes=...) and the head's num_classes"
        )
    return None


def _faults(content: Any, masks: bool) -> Iterator[str]:
    if not isinstance(content, Mapping):
        yield f"an annotation file must hold an object, not a {type(content).__name__}"
        return
    for part, keys in _REQUIRED.items():
        items = content.get(part)
        if not isinstance(items, list):
            yield f"{part!r} is {'missing' if items is None else 'not a list'}"
            continue
        if not items and part != "annotations":  # a test set may have none
            yield f"{part!r} is empty"
        seen: set[Any] = set()
        for number, item in enumerate(items):
            where = f"{part}[{number}]"
            if not isinstance(item, Mapping):
                yield f"{where} is {_short(item)}, not an object"
                continue
            outlined = part == "annotations" and (masks or bool(item.get("segmentation")))
            for key, (good, what) in {**keys, **(_OUTLINE if outlined else {})}.items():
                if key not in item:
                    yield f"{where} has no {key!r} ({what})"
                elif not good(item[key]):
                    yield f"{where}[{key!r}] is {_short(item[key])}, not {what}"
            if is_integer(item.get("id")) and item["id"] in seen:
                yield f"{where}: id {item['id']} occurs twice"
            seen.add(item.get("id") if is_integer(item.get("id")) else None)
    yield from _wrong_sizes(content)


def _wrong_sizes(content: Mapping[str, Any]) -> Iterator[str]:
    """Yields a fault for each run-length code whose size is not that of its image.

    The other entries of the file must be valid.
    """
    sizes = {image["id"]: [image["height"], image["width"]] for image in content["images"]}
    for number, annotation in enumerate(content["annotations"]):
        code, size = annotation.get("segmentation"), sizes.get(annotation["image_id"])
        if isinstance(code, Mapping) and size is not None and code["size"] != size:
            where = f"annotations[{number}]['segmentation']['size']"
            yield f"{where} is {code['size']}, but its image has the size {size} (height, width)"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


__all__ = ["coco_fault"]
