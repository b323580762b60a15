"""Functions and hooks that act on the process, on a library or on the disk."""

from .amp import CPUAmpOptimWrapper
from .errors import MissingFileError, MissingPackageError, UserError
from .files import replacing

__all__ = [
    "CPUAmpOptimWrapper",
    "MissingFileError",
    "MissingPackageError",
    "UserError",
    "replacing",
]
