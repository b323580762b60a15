"""Recording and replay of the calls of a module, in order."""

from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor


def shapes_of(value: Any) -> Any:
    """Returns the shapes of the tensors in ``value``, a tensor or a nested list, tuple or dict."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, dict):
        return {k: shapes_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [shapes_of(v) for v in value]
    return None


class Tape:
    """The calls of one module during one step: the shapes of the inputs and the recorded outputs.

    Args:
        name: name of the module in error messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._calls: list[tuple[Any, Any]] = []
        self._next = 0

    def append(self, inputs: Any, output: Any) -> None:
        self._calls.append((shapes_of(inputs), output))

    def rewind(self) -> None:
        self._next = 0

    def play(self, inputs: Any) -> Any:
        """Returns the output of the next recorded call.

        Raises:
            RuntimeError: no recorded call is left, or its inputs had other shapes.
        """
        if self._next >= len(self._calls):
            raise RuntimeError(
                f"the {self.name} was called {len(self._calls)} times in the recorded pass and "
                "once more in a pass at another T: the model does not run the same way at every "
                "T, so several T cannot be read from one pass; test each T separately"
            )
        recorded, output = self._calls[self._next]
        if shapes_of(inputs) != recorded:
            raise RuntimeError(
                f"call {self._next + 1} of the {self.name} got inputs of shape "
                f"{shapes_of(inputs)}, but {recorded} in the recorded pass: the model does not run "
                "the same way at every T; test each T separately"
            )
        self._next += 1
        return output

    def check_end(self) -> None:
        """Raises RuntimeError unless every recorded call was replayed."""
        if self._next != len(self._calls):
            raise RuntimeError(
                f"the {self.name} was called {len(self._calls)} times in the recorded pass and "
                f"{self._next} times in a pass at another T; test each T separately"
            )


def fresh_samples(value: Any) -> Any:
    """Returns a copy of preprocessed data into which a model may write its predictions.

    Data elements, and the lists, tuples and dicts that contain them, are copied at every depth.
    Tensors and all other contents are shared.
    """
    if isinstance(value, BaseDataElement):
        copy = value.new()
        for key, item in value.items():
            if isinstance(item, BaseDataElement | list | tuple | dict):
                copy.set_data({key: fresh_samples(item)})
        return copy
    if isinstance(value, dict):
        return {k: fresh_samples(v) for k, v in value.items()}
    if isinstance(value, list):
        return [fresh_samples(v) for v in value]
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(fresh_samples(v) for v in value)
    return value
