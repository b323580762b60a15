"""Sets that are generated on first use, completely or not at all."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from ...runtime.errors import UserError

#: Parts of every generated set.
SPLITS = ("train", "val", "test")


class GeneratedSet:
    """Mixin before an upstream data set whose files are generated on first use.

    Attributes:
        generate: function (folder, parameters) that generates the files.
        split: ``'train'``, ``'val'`` or ``'test'``.
        parameters: what the files are made from.
    """

    generate: Any

    def choose(self, split: str, parameters: Any) -> None:
        """Sets split and parameters, before upstream's constructor lists the samples.

        Raises:
            UserError: the split is unknown.
        """
        if split not in SPLITS:
            raise UserError(f"split={split!r}: must be one of {SPLITS}")
        self.split, self.parameters = split, parameters

    def load_data_list(self) -> list[dict[str, Any]]:
        """Generates the files, and lists the samples as upstream does."""
        self.generate(self.data_root, self.parameters)  # type: ignore[attr-defined]
        return super().load_data_list()  # type: ignore[misc]


def check_integers(
    parameters: Any, tuples: dict[str, int], rising: Sequence[str], limits: dict[str, tuple]
) -> None:
    """Checks the fields of a frozen dataclass of parameters; lists become tuples.

    Args:
        parameters: the dataclass, whose fields are integers and tuples of integers of at least 1.
        tuples: name of each tuple -> its length.
        rising: names of pairs whose first value must not exceed the second.
        limits: name of each integer -> its smallest and largest value.

    Raises:
        UserError: a field has another value. The message names it.
    """
    for name, length in tuples.items():
        value = tuple(getattr(parameters, name))
        object.__setattr__(parameters, name, value)
        if len(value) != length or not all(isinstance(v, int) and v >= 1 for v in value):
            raise UserError(f"{name}={value!r}: must be {length} integers of at least 1")
    for name in rising:
        low, high = getattr(parameters, name)
        if low > high:
            raise UserError(f"{name}={(low, high)}: the first is larger than the second")
    for name, (low, high) in limits.items():
        value = getattr(parameters, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"{name}={value!r}: must be an integer from {low} to {high}")
    smallest, largest = parameters.digit_size
    if smallest < 8 or largest > min(parameters.size):
        raise UserError(
            f"digit_size={parameters.digit_size}: must be at least 8 pixels (a scan is 8x8) and at "
            f"most the shorter side ({min(parameters.size)})"
        )


def stamp(parameters: Any, version: int) -> dict[str, Any]:
    """Returns the JSON-compatible identity of a set that is made from a dataclass of parameters."""
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(parameters).items()}
    return {"generator": version, **values}


def ensure(
    root: str | Path, what: str, stamp: dict[str, Any], write: Callable[[Path], None]
) -> None:
    """Generates a set unless ``root`` already holds it.

    The set is written beside ``root`` and then renamed, so several processes may call this
    function at once: the first to finish wins, and all write the same files.

    Args:
        root: the set's folder. Its ``stamp.json`` records what the set was made from.
        what: the set's name in messages.
        stamp: what the files are made from, JSON-compatible.
        write: function that writes the files into an empty folder.

    Raises:
        UserError: ``root`` contains something else, or a set with another stamp.
    """
    root = Path(root)
    if _holds(root, what, stamp):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    print_log(f"Generating {what} in {root}", logger="current")
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as temporary:
        made = Path(temporary, "set")
        made.mkdir()
        write(made)
        write_json(made / "stamp.json", stamp)
        try:
            os.rename(made, root)
        except OSError:
            # Another process was faster, or something else is in the way: _holds raises for that.
            if not _holds(root, what, stamp):
                raise


def _holds(root: Path, what: str, wanted: dict[str, Any]) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    stamp_file = root / "stamp.json"
    if not stamp_file.is_file():
        raise UserError(
            f"{root} exists but is not a set of {what} (it has no stamp.json): choose another "
            "data_root, or move the folder"
        )
    stamped = json.loads(stamp_file.read_text())
    if stamped != wanted:
        keys = [k for k in {**stamped, **wanted} if stamped.get(k) != wanted.get(k)]
        changes = ", ".join(
            f"{k}: {stamped.get(k)} in the folder, {wanted.get(k)} requested" for k in keys
        )
        raise UserError(
            f"{root} holds {what} made from other parameters ({changes}): choose another "
            "data_root, or remove the folder"
        )
    return True


def write_json(path: Path, content: Any) -> None:
    """Writes ``content`` with sorted keys, so that equal content gives equal bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
