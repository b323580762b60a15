"""Local files of checkpoints, given by a path, a URL or a name in a model zoo."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_distributed
from mmengine.logging import print_log
from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from ..runtime.errors import MissingFileError, UserError

_HASH = re.compile(r"-([a-f0-9]{8,})\.")


def _home() -> str:
    """Returns MMEngine's folder of downloads."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.getenv("MMENGINE_HOME", os.path.join(cache, "mmengine")))


def _zoo(scheme: str) -> dict[str, str]:
    if scheme in ("torchvision", "modelzoo"):
        return get_torchvision_models()
    if scheme == "mmcls":
        return get_mmcls_models()
    urls = dict(get_external_models())
    for old, new in get_deprecated_model_names().items():
        if new in urls:
            urls.setdefault(old, urls[new])
    return urls


def _address(name: str, scheme: str) -> str:
    model = name.partition("://")[2]
    urls = _zoo(scheme)
    if model not in urls:
        alike = get_close_matches(model, urls, n=5)
        hint = f"; did you mean {', '.join(alike)}?" if alike else ""
        raise MissingFileError(f"checkpoint {name!r}: {scheme} has no model {model!r}{hint}")
    return urls[model]


def _download(name: str, url: str) -> Path:
    """Downloads ``url`` into PyTorch's own cache, unless the cache holds the file already."""
    file_name = os.path.basename(urlparse(url).path)
    file = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    # One process per machine downloads, since machines need not share a cache. Without a process
    # group to wait in, each process downloads for itself.
    mine = not is_distributed() or int(os.environ.get("LOCAL_RANK", 0)) == 0
    if mine and not file.is_file():
        print_log(f"downloading {url} to {file}", logger="current")
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = _HASH.search(file_name)
        try:
            # Writes to a temporary name, checks the digest, then moves.
            torch.hub.download_url_to_file(
                url, str(file), digest[1] if digest else None, progress=False
            )
        except (URLError, OSError, RuntimeError) as error:
            print_log(f"checkpoint {name!r}: {error}", logger="current")
    barrier()
    if not file.is_file():
        raise MissingFileError(
            f"checkpoint {name!r} could not be downloaded from {url}. Put the file at {file}, or "
            "give the path of a local copy."
        )
    return file


def local_file(path: str | os.PathLike[str]) -> Path:
    """Returns the local file of ``path``; an address is downloaded once.

    Args:
        path: a path (``~`` is expanded), ``http(s)://...``, ``torchvision://resnet50``,
            ``open-mmlab://resnet50_v1c``, ``mmcls://...``.

    Raises:
        MissingFileError: the file does not exist or cannot be downloaded.
        UserError: the scheme is unknown, or ``path`` is not a path (weights, for example).
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(
            f"checkpoint: got a {type(path).__name__}; use a path or a URL (torch.save writes "
            "weights to a file)"
        )
    name = os.fspath(path)
    if "://" not in name:
        file = Path(name).expanduser()
        if not file.is_file():
            kind = "is a folder, not a file" if file.is_dir() else "does not exist"
            raise MissingFileError(f"checkpoint {name} {kind}")
        return file
    scheme = name.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return _download(name, name)
    if scheme not in ("torchvision", "modelzoo", "open-mmlab", "openmmlab", "mmcls"):
        raise UserError(
            f"checkpoint {name!r}: unknown scheme {scheme}://; use a local path, https://, "
            "torchvision://, open-mmlab:// or mmcls://"
        )
    address = _address(name, scheme)
    if address.startswith(("http://", "https://")):
        return _download(name, address)
    return local_file(os.path.join(_home(), address))


__all__ = ["local_file"]
