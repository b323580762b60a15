"""What passes through a module, kept for one iteration."""

from collections.abc import Callable
from typing import Any

from torch import nn


class Tap:
    """Keeps ``pick(inputs, output)`` of every call of a module, by a PyTorch forward hook.

    Only in training mode: validation between two iterations leaves nothing behind.
    """

    def __init__(self, module: nn.Module, pick: Callable[[tuple[Any, ...], Any], Any]) -> None:
        self.calls: list[Any] = []
        self._pick = pick
        self._handle = module.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module.training:
            self.calls.append(self._pick(inputs, output))

    def take(self) -> list[Any]:
        """What was kept; the tap is empty afterwards."""
        calls, self.calls = self.calls, []
        return calls

    def remove(self) -> None:
        self._handle.remove()
        self.calls = []
