"""Errors that a user can resolve; the tools print only their message, without a traceback.

Each message names the setting, its value and the way to fix it. Any other exception is a bug and
keeps its traceback.
"""

import re

#: PyTorch's message for an error in a data loader's worker; it contains the worker's traceback.
_OF_WORKER = re.compile(r"Caught \w+ in DataLoader worker .*\n[\w.]+Error: (.*)", re.DOTALL)


class UserError(ValueError):
    """An argument, a config or a file that cannot be used.

    Example:
        >>> from sakd_dense.runtime import UserError
        >>> issubclass(UserError, ValueError)
        True
    """


class MissingFileError(UserError, FileNotFoundError):
    """The path of a file that does not exist.

    Example:
        >>> from sakd_dense.runtime import MissingFileError, UserError
        >>> issubclass(MissingFileError, UserError), issubclass(MissingFileError, FileNotFoundError)
        (True, True)
    """


class MissingPackageError(UserError, ModuleNotFoundError):
    """A package that is not installed.

    Example:
        >>> from sakd_dense.runtime import MissingPackageError, UserError
        >>> issubclass(MissingPackageError, UserError), issubclass(MissingPackageError, ImportError)
        (True, True)
    """


def message_of(error: UserError) -> str:
    """Returns the message of ``error``, without the traceback of a data loader's worker."""
    found = _OF_WORKER.fullmatch(str(error))
    return (found[1] if found else str(error)).strip()


def first_line(error: BaseException) -> str:
    """Returns the first line of the message of ``error``, or its type if there is none."""
    return (str(error).strip() or repr(error)).splitlines()[0]


__all__ = ["MissingFileError", "MissingPackageError", "UserError", "first_line", "message_of"]
