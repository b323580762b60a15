"""Writing of files that are either complete or do not exist."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend

from .errors import UserError, first_line

_TEMPORARY = re.compile(r"_unfinished-(\d+)_.+", re.DOTALL)
#: Errors of a full disk, a full quota or an exceeded limit of the process.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: The same in messages of libraries that drop the errno (PyTorch's zip writer, safetensors).
_FULL_WORDS = re.compile(
    r"No space left|File too large|Disk quota|file write failed|failed writing|unexpected pos"
)


def folder_for_test(work_dir: str | os.PathLike[str]) -> str:
    """Returns the folder into which commands that read a run write: the run's, plus ``-test``.

    Only training writes into the folder of a run. MMEngine's Runner writes its config into its
    work dir, where the config of a test would replace that of the run.
    """
    folder = os.fspath(work_dir).rstrip("/")
    return folder if folder.endswith("-test") else f"{folder}-test"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path, whose file replaces ``path`` when the block ends without an error.

    The file is flushed to the disk before it is renamed, so neither the end of the process nor a
    power cut leaves an incomplete file under ``path``. An existing file's permissions are kept.

    Raises:
        UserError: the disk or the quota is full, or a limit of the process is exceeded.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.runtime import replacing
        >>> with replacing("table.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> Path("table.txt").read_text()
        'whole'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept, since some writers and readers (pictures, configs) depend on it.
    temporary = target.with_name(f"_unfinished-{os.getpid()}_{target.name}")
    try:
        permissions = _permissions(target, temporary)
        yield temporary
        temporary.chmod(permissions)
        _flush(temporary)
        os.replace(temporary, target)
        _flush(target.parent)
    except Exception as error:
        if not is_full(error):
            raise
        kept = "the previous file is unchanged" if target.exists() else "no incomplete file is left"
        raise UserError(
            f"{target} could not be written: the disk or the quota is full; {kept}. Free some "
            f"space in {target.parent} and run the command again ({first_line(error)[:200]})"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _permissions(target: Path, probe: Path) -> int:
    """Returns the permissions of ``target``, or those of a new file in its folder.

    Some writers (safetensors) create a file that only its owner can read, whatever the umask is.
    """
    if not target.exists():
        probe.touch()  # the umask itself can only be read by changing it for all threads
        target = probe
    permissions = stat.S_IMODE(target.stat().st_mode)
    probe.unlink(missing_ok=True)
    return permissions


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush a folder.
        if error.errno in _FULL:
            raise
    finally:
        os.close(descriptor)


def is_full(error: BaseException) -> bool:
    """Returns whether ``error`` means a full disk or quota, or an exceeded limit of the process."""
    if isinstance(error, UserError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return _FULL_WORDS.search(str(error)) is not None


def remove_leftovers(folder: str | os.PathLike[str]) -> list[Path]:
    """Removes the incomplete files of killed processes from ``folder``.

    Subfolders are not searched, and files of processes that still run are kept.

    Returns:
        The removed files.
    """
    removed = []
    for file in sorted(Path(folder).glob("_unfinished-*")):
        found = _TEMPORARY.fullmatch(file.name)
        if found and file.is_file() and not _runs(int(found[1])):
            with suppress(OSError):
                file.unlink()
                removed.append(file)
    return removed


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


@contextmanager
def whole_local_files() -> Iterator[None]:
    """Makes MMEngine write local files with :func:`replacing` inside the block, not in place.

    MMEngine writes its checkpoints, with every strategy, and its dumps through ``LocalBackend``.
    """
    put, put_text = LocalBackend.put, LocalBackend.put_text

    def put_whole(self: Any, obj: bytes, filepath: str | Path) -> None:
        with replacing(filepath) as temporary:
            put(self, obj, temporary)

    def put_text_whole(self: Any, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        with replacing(filepath) as temporary:
            put_text(self, obj, temporary, encoding)

    LocalBackend.put, LocalBackend.put_text = put_whole, put_text_whole
    try:
        yield
    finally:
        LocalBackend.put, LocalBackend.put_text = put, put_text


__all__ = ["folder_for_test", "is_full", "remove_leftovers", "replacing", "whole_local_files"]
