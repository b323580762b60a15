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
    """Writes ``{'state_dict', 'meta'}`` with CPU tensors to ``path`` (to a temporary name first).

    Example:
        >>> from torch import nn
        >>> from sakd_dense.transfer import read_checkpoint
        >>> from sakd_dense.transfer.save import save_checkpoint
        >>> save_checkpoint(nn.Linear(2, 2), "linear.pth", meta=dict(epoch=1))
        >>> read_checkpoint("linear.pth").meta
        {'epoch': 1}
    """
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    with replacing(path) as temporary:
        torch.save({"state_dict": state, "meta": dict(meta or {})}, temporary)


__all__ = ["save_checkpoint"]
