"""Records of a module's inputs and outputs, kept for one iteration."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn


class Call(NamedTuple):
    """One call of a tapped module: its positional inputs and its output."""

    inputs: tuple[Any, ...]
    output: Any


class MethodCall(NamedTuple):
    """One call of a method: its name, all its arguments by name, and its output."""

    method: str
    arguments: dict[str, Any]
    output: Any


class Recorder:
    """Base class of recorders, which keep calls until they are taken."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def take(self) -> list[Any]:
        """Returns the recorded calls and clears them."""
        calls, self.calls = self.calls, []
        return calls

    def remove(self) -> None:
        """Stops recording and clears the recorded calls."""
        raise NotImplementedError


class Tap(Recorder):
    """Recorder of every :class:`Call` of a module, by a PyTorch forward hook.

    Args:
        module: the module to record.
        training_only: records only calls in training mode, so that validation between two
            iterations leaves no records. Default: True.
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
    """Recorder of every :class:`MethodCall` of some methods, in order.

    PyTorch's hooks do not see methods. Only calls in training mode are recorded.

    Args:
        module: the module to record.
        names: names of methods of ``module``. Names that it lacks are ignored.
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
    """Taps each of ``modules`` inside the block, in training and in eval mode."""
    taps = [Tap(m, training_only=False) for m in modules]
    try:
        yield taps
    finally:
        for tap in taps:
            tap.remove()
