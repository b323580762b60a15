"""Saving of a transferred model as a checkpoint for ``load_from``."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from ..runtime.files import replacing


def save_checkpoint(
    model: nn.Module, path: str | os.PathLike[str], meta: dict[str, Any] | None = None
) -> None:
    """Writes ``{'state_dict', 'meta'}`` with CPU tensors to ``path``, by a temporary name."""
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    with replacing(path) as temporary:
        torch.save({"state_dict": state, "meta": dict(meta or {})}, temporary)


__all__ = ["save_checkpoint"]
