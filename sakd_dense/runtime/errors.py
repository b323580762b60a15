"""Errors that a user can resolve: the tools print their message alone, without a traceback.

Each message names the thing, its value and the way out. Any other exception is a bug, and keeps its
traceback.
"""

import re

#: What PyTorch makes of an error of a data loader's worker: its traceback, in the message.
_OF_WORKER = re.compile(r"Caught \w+ in DataLoader worker .*\n[\w.]+Error: (.*)", re.DOTALL)


class UserError(ValueError):
    """An argument, a config or a file that cannot be used.

    Example:
        >>> from sakd_dense.config import spiking_of
        >>> from sakd_dense.runtime import UserError
        >>> try:
        ...     spiking_of(dict(backbone=dict(type="ResNet")), 4, family="ANN")
        ... except UserError as error:
        ...     print(error)
        family='ANN': must be one of ('Spiking', 'SEW')
    """


class MissingFileError(UserError, FileNotFoundError):
    """A path that leads to no file.

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


def said_by(error: UserError) -> str:
    """The message of ``error``, also where a data loader's worker raised it.

    Example:
        >>> from sakd_dense.runtime import UserError
        >>> from sakd_dense.runtime.errors import said_by
        >>> said_by(UserError("samples=0: take at least 1"))
        'samples=0: take at least 1'
    """
    found = _OF_WORKER.fullmatch(str(error))
    return (found[1] if found else str(error)).strip()


__all__ = ["MissingFileError", "MissingPackageError", "UserError", "said_by"]
