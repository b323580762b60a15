"""Changes of the process, of a library or of the disk."""

from .errors import MissingFileError, MissingPackageError, UserError
from .files import replacing

__all__ = ["MissingFileError", "MissingPackageError", "UserError", "replacing"]
