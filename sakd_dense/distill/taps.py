"""What passes through a module, kept for one iteration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

#: One call of a tapped module: its inputs and its output.
Call = tuple[tuple[Any, ...], Any]


class Tap:
    """Keeps the inputs and the output of every call of a module, by a PyTorch forward hook.

    Args:
        training_only: validation between two iterations leaves nothing behind.
    """

    def __init__(self, module: nn.Module, training_only: bool = True) -> None:
        self.calls: list[Call] = []
        self._training_only = training_only
        self._handle = module.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module.training or not self._training_only:
            self.calls.append((inputs, output))

    def take(self) -> list[Call]:
        """What was kept; the tap is empty afterwards."""
        calls, self.calls = self.calls, []
        return calls

    def remove(self) -> None:
        self._handle.remove()
        self.calls = []


@contextmanager
def tapped(modules: Sequence[nn.Module]) -> Iterator[list[Tap]]:
    """A tap on each of ``modules``, whatever their mode, for the length of the block."""
    taps = [Tap(m, training_only=False) for m in modules]
    try:
        yield taps
    finally:
        for tap in taps:
            tap.remove()
