"""Errors that a user can resolve: the tools print their message alone, without a traceback.

Each message names the thing, its value and the way out. Any other exception is a bug, and keeps its
traceback.
"""

import re

#: What PyTorch makes of an error of a data loader's worker: its traceback, in the message.
_OF_WORKER = re.compile(r"Caught \w+ in DataLoader worker .*\n[\w.]+Error: (.*)", re.DOTALL)


class UserError(ValueError):
    """An argument, a config or a file that cannot be used."""


class MissingFileError(UserError, FileNotFoundError):
    """A path that leads to no file."""


class MissingPackageError(UserError, ModuleNotFoundError):
    """A package that is not installed."""


def said_by(error: UserError) -> str:
    """The message of ``error``, also where a data loader's worker raised it."""
    found = _OF_WORKER.fullmatch(str(error))
    return (found[1] if found else str(error)).strip()


__all__ = ["MissingFileError", "MissingPackageError", "UserError", "said_by"]
