"""Errors that a user can resolve: the tools print their message alone, without a traceback.

Each message names the thing, its value and the way out. Any other exception is a bug, and keeps its
traceback.
"""


class UserError(ValueError):
    """An argument, a config or a file that cannot be used."""


class MissingFileError(UserError, FileNotFoundError):
    """A path that leads to no file."""


class MissingPackageError(UserError, ModuleNotFoundError):
    """A package that is not installed."""


__all__ = ["MissingFileError", "MissingPackageError", "UserError"]
