"""Records of a module's inputs and outputs, kept for one iteration."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn


class Call(NamedTuple):
    """One call of what is tapped: its positional inputs and its output."""

    inputs: tuple[Any, ...]
    output: Any


class MethodCall(NamedTuple):
    """One call of a method: its name, all its arguments by name, and its output."""

    method: str
    arguments: dict[str, Any]
    output: Any


class Recorder:
    """Keeps calls until they are taken."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def take(self) -> list[Any]:
        """Returns the records and drops them."""
        calls, self.calls = self.calls, []
        return calls

    def remove(self) -> None:
        """Stops recording and forgets."""
        raise NotImplementedError


class Tap(Recorder):
    """Keeps every :class:`Call` of a module, by a PyTorch forward hook.

    Args:
        training_only: validation between two iterations leaves nothing behind.
    """

    def __init__(self, module: nn.Module, training_only: bool = True) -> None:
        super().__init__()
        self._training_only = training_only
        self._handle = module.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module.training or not self._training_only:
            self.calls.append(Call(inputs, output))

    def remove(self) -> None:
        self._handle.remove()
        self.calls = []


class MethodTap(Recorder):
    """Keeps every :class:`MethodCall` of some methods, which PyTorch's hooks do not see, in order.

    Args:
        names: of methods of ``module``; those that it has not are passed over.
    """

    def __init__(self, module: nn.Module, *names: str) -> None:
        super().__init__()
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
                self.calls.append(MethodCall(name, dict(bound.arguments), output))
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
