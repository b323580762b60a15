"""A hook that stops a run at NaN or infinite losses, before the damaged weights are saved."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..runtime.arguments import typed
from ..runtime.errors import UserError

#: float16's loss scaling skips the step after an overflow and halves the scale. So many bad steps
#: in a row have another cause.
OVERFLOWS = 20


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Hook that ends a run at the first iteration with NaN or infinite losses and names the terms.

    The last checkpoint stays unchanged. float16's loss scaling skips such steps while it searches
    for a scale. With loss scaling, the run therefore ends after ``overflows`` of them in a row.

    Args:
        overflows: with loss scaling, the number of such iterations in a row at which the run ends.
            Default: 20.

    Raises:
        UserError: ``overflows`` is not an integer of at least 1.
    """

    priority = "HIGH"  # before what logs, counts or saves

    @typed
    def __init__(self, overflows: int = OVERFLOWS) -> None:
        if overflows < 1:
            raise UserError(f"FiniteLossHook: overflows={overflows!r}: must be at least 1")
        self.overflows = overflows
        self._in_a_row = 0

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        bad = not_finite(outputs)
        self._in_a_row = self._in_a_row + 1 if bad else 0
        if not bad or (_scales(runner.optim_wrapper) and self._in_a_row < self.overflows):
            return
        terms = [name for name in bad if name != "loss"] or list(bad)
        values = ", ".join(f"{name} = {bad[name]}" for name in terms)
        raise UserError(
            f"iteration {runner.iter + 1} (epoch {runner.epoch + 1}): {values}. "
            f"{last_checkpoint(runner.work_dir)} {advice(terms)}"
        )


def not_finite(outputs: Any) -> dict[str, float]:
    """Returns the entries of a dict of losses that are NaN or infinite.

    Returns:
        Those entries by name, each as a float (the mean of a tensor).
    """
    entries = dict(outputs) if isinstance(outputs, Mapping) else {}
    means = {k: v.detach().float().mean() for k, v in entries.items() if torch.is_tensor(v)}
    if means:  # one synchronisation with the device for all terms
        entries.update(zip(means, torch.stack(list(means.values())).tolist(), strict=True))
    return {k: v for k, v in entries.items() if isinstance(v, float) and not math.isfinite(v)}


def last_checkpoint(work_dir: str) -> str:
    """Returns a sentence that names the checkpoint from which a run can resume."""
    try:
        return f"The last checkpoint is {(Path(work_dir) / 'last_checkpoint').read_text().strip()}."
    except OSError:
        return "There is no checkpoint yet."


def advice(terms: list[str]) -> str:
    """Returns advice that fits the names of the loss terms."""
    helps = [
        "a lower learning rate (optim_wrapper.optimizer.lr), "
        "optim_wrapper.clip_grad=dict(max_norm=10), a longer warm-up, no --amp"
    ]
    if any("sakd" in name for name in terms):
        helps.append(
            "for SAKD's terms a lower weight (features, responses, prefix_weight of SAKDHook), and "
            "a teacher with finite outputs (check it with tools/test.py)"
        )
    if any("box" in name or "iou" in name for name in terms):
        helps.append("boxes with an area in the annotations")
    return "Possible fixes: " + "; ".join(helps) + ". Then run again with --resume."


def _scales(optim_wrapper: Any) -> bool:
    scaler = getattr(optim_wrapper, "loss_scaler", None)
    return scaler is not None and scaler.is_enabled()


__all__ = ["OVERFLOWS", "FiniteLossHook", "advice", "last_checkpoint", "not_finite"]
