"""The comparison of two runs, bit by bit: the state that their checkpoints hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sakd_dense.runtime.errors import UserError
from sakd_dense.transfer.read import load_safely

#: The length of every run.
EPOCHS = 4


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Returns the names of the values that are not equal to the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return [] if same and bool((one == other).all()) else [name]
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if list(one) != list(other):
            return [f"{name}: keys"]
        return [d for k in one for d in differences(one[k], other[k], f"{name}.{k}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{name}: length"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{name}.{i}")]
    return [] if one == other else [name]


def outcome(work_dir: Path) -> dict[str, Any]:
    """Returns the state that is compared."""
    last = load_safely(work_dir / f"epoch_{EPOCHS}.pth")
    kept = ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "sakd_run")
    found = {name: last.get(name) for name in kept}
    found["where"] = (last["meta"]["epoch"], last["meta"]["iter"])
    found["best"] = {f.name: load_safely(f)["state_dict"] for f in work_dir.glob("best_*.pth")}
    found["files"] = sorted(f.name for f in work_dir.glob("*.pth"))
    return found


def checkpoints_whole(work_dir: Path) -> bool:
    """Returns whether every checkpoint under its final name can be read."""
    for file in work_dir.glob("*.pth"):
        if not file.name.startswith("_unfinished-"):
            try:
                load_safely(file)
            except UserError:
                return False
    return True
