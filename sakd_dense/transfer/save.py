"""A transferred model as a checkpoint that ``load_from`` takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_checkpoint(
    model: nn.Module, path: str | os.PathLike[str], meta: dict[str, Any] | None = None
) -> None:
    """Write ``{'state_dict', 'meta'}`` to ``path`` (to a temporary name first), on the CPU."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        torch.save({"state_dict": state, "meta": dict(meta or {})}, temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


__all__ = ["save_checkpoint"]
