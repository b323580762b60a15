"""Checks of argument types that name the wrong argument before it is used."""

import inspect
import math
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import UserError

F = TypeVar("F", bound=Callable[..., Any])

#: The largest integer that fits into a tensor.
LARGEST = 2**63 - 1
#: Names of types in error messages.
_WORDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a string",
    type(None): "None",
}


def typed(init: F) -> F:
    """Decorates ``__init__`` so that it first checks its arguments against their annotations.

    A number must be finite and not a bool; an integer must not be a float. The elements of lists
    and dicts are checked as well. Annotations without a checkable type (a module, a callable)
    accept every value.

    Raises:
        UserError: an argument does not match its annotation. The message names the class, the
            argument, its value and the allowed types.
    """
    signature = inspect.signature(init)
    hints: dict[str, Any] = {}

    @wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        hints.update(hints or get_type_hints(init))
        given = signature.bind(self, *args, **kwargs).arguments
        for name, value in given.items():
            kind = signature.parameters[name].kind
            if name in hints and kind not in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD):
                check(f"{type(self).__name__}: {name}", value, hints[name])
        init(self, *args, **kwargs)

    return checked  # type: ignore[return-value]


def check_fields(instance: Any) -> None:
    """Checks the fields of a dataclass instance as :func:`typed` checks arguments.

    Raises:
        UserError: a field does not match its annotation.
    """
    for name, hint in get_type_hints(type(instance)).items():
        if name in type(instance).__dataclass_fields__:
            check(name, getattr(instance, name), hint)


def check(what: str, value: Any, hint: Any) -> None:
    """Checks that ``value`` matches the annotation ``hint``.

    Args:
        what: the class and the argument, for the message.
        value: the value to check.
        hint: an annotation.

    Raises:
        UserError: ``value`` does not match ``hint``.
    """
    if not _fits(value, hint):
        raise UserError(f"{what}={_short(value)}: must be {_describe_type(hint)}")


def is_integer(value: Any) -> bool:
    """Returns whether ``value`` is an integer and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def at_least(what: str, value: Any, least: int = 1) -> int:
    """Returns ``value``, which ``what`` names in the message.

    Raises:
        UserError: ``value`` is not an integer of at least ``least``.
    """
    if not is_integer(value) or value < least:
        raise UserError(f"{what}={value!r}: must be an integer of at least {least}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in args)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in args)
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return is_integer(value) and abs(value) <= LARGEST
    if hint is float:
        return _is_number(value)
    kind = origin or hint
    if kind is type(None) or kind is None:
        return value is None
    if not inspect.isclass(kind) or kind is object:
        return True
    if kind in (str, bytes):
        return isinstance(value, kind)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and _mapping_fits(value, args)
    if issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc"):
        return _items_fit(value, kind, args)
    return True


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value)


def _mapping_fits(value: Mapping[Any, Any], args: Sequence[Any]) -> bool:
    if len(args) != 2:
        return True
    return all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())


def _items_fit(value: Any, kind: type, args: Sequence[Any]) -> bool:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    if issubclass(kind, Collection) and not isinstance(value, Collection):
        return False
    if not isinstance(value, Collection):  # iterating would exhaust it
        return True
    if kind is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(_fits, value, args))
    return all(_fits(item, args[0]) for item in value) if args else True


def _describe_type(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_describe_type, args)))
    if origin is Literal:
        return " or ".join(map(repr, args))
    if hint in _WORDS:
        return _WORDS[hint]
    kind = origin or hint
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a dict"
    if kind is tuple and args and args[-1] is not Ellipsis:
        return f"a list of {len(args)}: " + ", ".join(map(_describe_type, args))
    if inspect.isclass(kind) and issubclass(kind, Iterable):
        inner = f", each {_describe_type(args[0])}" if args and args[0] is not Any else ""
        return f"a list{inner}"
    return getattr(kind, "__name__", str(kind))


__all__ = ["at_least", "check", "check_fields", "is_integer", "typed"]
