"""Losses that are no numbers end a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sakd_dense.guards.finite import FiniteLossHook
from sakd_dense.runtime.errors import UserError
from tests.helpers.toy_runs import ToyModel, toy_runner


def test_the_term_and_the_iteration_are_named_and_the_checkpoint_kept(tmp_path, monkeypatch):
    real, seen = ToyModel.forward, []

    def forward(self, x: Any, mode: str = "tensor") -> Any:
        found = real(self, x, mode)
        seen.extend([None] * (mode == "loss"))
        if mode == "loss" and len(seen) == 6:
            found["loss_sakd_feat"] = found["loss_fit"] * float("inf")
        return found

    monkeypatch.setattr(ToyModel, "forward", forward)
    with pytest.raises(UserError) as caught:
        toy_runner(tmp_path / "run").train()
    message = str(caught.value)
    assert message.startswith("iteration 6 (epoch 2): loss_sakd_feat = inf.")
    assert "epoch_1.pth" in message and "learning rate" in message and "prefix_weight" in message
    assert {p.name for p in (tmp_path / "run").glob("epoch_*.pth")} == {"epoch_1.pth"}


def iterate(hook: FiniteLossHook, loss: float, scaled: bool, work_dir: Path) -> None:
    scaler = SimpleNamespace(is_enabled=lambda: scaled)
    wrapper = SimpleNamespace(loss_scaler=scaler)
    runner = SimpleNamespace(iter=0, epoch=0, optim_wrapper=wrapper, work_dir=str(work_dir))
    hook.after_train_iter(runner, 0, outputs=dict(loss=torch.tensor(loss), acc=0.5))


def test_a_loss_scale_may_look_for_its_place(tmp_path):
    hook, inf = FiniteLossHook(overflows=3), float("inf")
    for loss in (inf, inf, 1.0, inf, inf):
        iterate(hook, loss, True, tmp_path)
    with pytest.raises(UserError, match=r"loss = inf\. There is no checkpoint yet"):
        iterate(hook, inf, True, tmp_path)
    with pytest.raises(UserError, match="loss = nan"):
        iterate(FiniteLossHook(), float("nan"), False, tmp_path)


@pytest.mark.parametrize("overflows", [0, -1, 1.5, True, "3", None])
def test_overflows_is_a_number(overflows):
    with pytest.raises(UserError, match="overflows="):
        FiniteLossHook(overflows=overflows)
