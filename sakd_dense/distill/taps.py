"""What passes through a module, kept for one iteration."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn


class Call(NamedTuple):
    """One call of what is tapped: its positional inputs and its output."""

    inputs: tuple[Any, ...]
    output: Any


class Tap:
    """Keeps every call of a module, by a PyTorch forward hook.

    Args:
        training_only: validation between two iterations leaves nothing behind.
    """

    def __init__(self, module: nn.Module, training_only: bool = True) -> None:
        self.calls: list[Call] = []
        self._training_only = training_only
        self._handle = module.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module.training or not self._training_only:
            self.calls.append(Call(inputs, output))

    def take(self) -> list[Call]:
        """What was kept; the tap is empty afterwards."""
        calls, self.calls = self.calls, []
        return calls

    def remove(self) -> None:
        self._handle.remove()
        self.calls = []


class MethodTap(Tap):
    """The same for methods, which PyTorch's hooks do not see, in the order of all their calls.

    The inputs of a call are the method's name and a dict of all arguments by name.

    Args:
        names: of methods of ``module``; those that it has not are passed over.
    """

    def __init__(self, module: nn.Module, *names: str) -> None:
        self.calls = []
        self._module = module
        self._names = [name for name in names if hasattr(module, name)]
        for name in self._names:
            setattr(module, name, self._tapped(name, getattr(module, name)))

    def _tapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(method)

        def tapped_method(*args: Any, **kwargs: Any) -> Any:
            output = method(*args, **kwargs)
            if self._module.training:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                self.calls.append(Call((name, dict(bound.arguments)), output))
            return output

        return tapped_method

    def remove(self) -> None:
        for name in self._names:
            self._module.__dict__.pop(name, None)
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
