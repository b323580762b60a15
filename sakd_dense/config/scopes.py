"""Makes config names of the form ``package::path.py`` resolve, for mmseg and for this package.

MMEngine looks such a name up in three steps, and each has a gap:

1. ``MODULE2PACKAGE`` says which distribution holds a module. It sends ``mmseg`` to a distribution
   called ``mmsegmentation``, which the maintained fork (``onedl-mmsegmentation``) is not, and it
   does not know this package.
2. The name must hold a slash, so a flat folder of configs (ours) cannot be named.
3. ``mmengine.hub.get_config`` runs ``pip install`` for a distribution it does not find. With the
   fork in place that would put the original mmseg over it.

:func:`mend_config_scopes` closes the first two where they are open; with them closed the third
does not happen for what is installed. :func:`config_file` never installs anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mmengine.config.config
import mmengine.config.utils
import mmengine.hub.hub
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from ..runtime.errors import MissingFileError, MissingPackageError, UserError

_OURS = "sakd_dense"
_FLAT_NAME = re.compile(rf"{_OURS}::([\w.\-]+)")
# Each of these modules holds its own reference to the function.
_HOLDERS = (mmengine.config.utils, mmengine.config.config, mmengine.hub.hub)
_FUNCTION = "_get_package_and_cfg_path"


def _distribution_is_there(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _accept_flat_names(split: Callable[[str], tuple[str, str]]) -> Callable[[str], tuple[str, str]]:
    def split_config_name(cfg_path: str) -> tuple[str, str]:
        flat = _FLAT_NAME.fullmatch(cfg_path)
        return (_OURS, flat[1]) if flat else split(cfg_path)

    split_config_name.accepts_flat_names = True  # type: ignore[attr-defined]
    return split_config_name


def mend_config_scopes() -> None:
    """Make ``_base_ = 'mmseg::...'`` and ``_base_ = 'sakd_dense::...'`` resolve.

    Safe to call more than once. Changes nothing that already works: with the original
    mmsegmentation installed, its entry stays as it is.
    """
    MODULE2PACKAGE.setdefault(_OURS, _OURS)
    if not _distribution_is_there("mmsegmentation") and find_spec("mmseg") is not None:
        MODULE2PACKAGE["mmseg"] = "mmseg"
    for holder in _HOLDERS:
        split = getattr(holder, _FUNCTION, None)
        if split is not None and not getattr(split, "accepts_flat_names", False):
            setattr(holder, _FUNCTION, _accept_flat_names(split))


def config_file(name: str) -> str:
    """The path of the config file that ``name`` means.

    Args:
        name: a path (returned as it is), or ``package::path.py`` with a package of the OpenMMLab
            family or this one, e.g. ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

    Raises:
        UserError: the package is not one that carries configs.
        MissingPackageError: the package is not installed.
        MissingFileError: the package has no such config.
    """
    if "::" not in name:
        return name
    mend_config_scopes()
    package = name.partition("::")[0]
    if package not in MODULE2PACKAGE:
        known = ", ".join(sorted(MODULE2PACKAGE))
        raise UserError(
            f"config {name!r}: {package!r} is not a package with configs; known are {known}"
        )
    if find_spec(package) is None:
        raise MissingPackageError(
            f"config {name!r}: the package {package!r} is not installed. "
            "Install it, or give the path of a config file."
        )
    return Config._get_cfg_path(name, "")[0]


def load_config(name: str, options: dict[str, Any] | None = None) -> Config:
    """The config ``name`` means (a path or ``package::path.py``), with ``--cfg-options`` merged.

    Raises:
        MissingFileError: there is no such file.
        UserError: the file cannot be read, or is written for OpenMMLab 1.x (mmdet 2, mmseg 0.x).
    """
    file = config_file(name)
    if not Path(file).is_file():
        raise MissingFileError(f"config {name} does not exist")
    try:
        cfg = Config.fromfile(file)
    except Exception as error:  # it runs as Python: whatever its author's mistake raises
        raise UserError(f"config {name} cannot be read: {type(error).__name__}: {error}") from error
    _refuse_old(cfg, name)
    if options:
        cfg.merge_from_dict(options)
    return cfg


def _refuse_old(cfg: Config, name: str) -> None:
    old = isinstance(cfg.get("data"), Mapping) and not any(k.endswith("_dataloader") for k in cfg)
    if old and {"train", "val", "test"} & set(cfg.data):
        raise UserError(
            f"config {name} is written for mmdet 2.x, mmseg 0.x or mmcls (data=dict(...) in "
            "place of train_dataloader, ...). Take the config of the same name "
            "from the installed package (mmdet::..., mmseg::...), or migrate it as "
            "https://mmdetection.readthedocs.io/en/latest/migration.html describes"
        )
