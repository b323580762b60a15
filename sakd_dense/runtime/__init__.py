"""Functions and hooks that act on the process, on a library or on the disk."""

from .errors import MissingFileError, MissingPackageError, UserError
from .files import replacing

__all__ = ["MissingFileError", "MissingPackageError", "UserError", "replacing"]
