"""What is done to the process, to a library or to the disk."""

from .errors import MissingFileError, MissingPackageError, UserError
from .files import replacing

__all__ = ["MissingFileError", "MissingPackageError", "UserError", "replacing"]
