"""Makes config names of the form ``package::path.py`` resolve, for mmseg and for this package.

MMEngine looks such a name up in three steps, and each has a gap:

1. ``MODULE2PACKAGE`` says which distribution holds a module. It sends ``mmseg`` to a distribution
   called ``mmsegmentation``, which the maintained fork (``onedl-mmsegmentation``) is not.
2. A name must hold a slash, so a flat folder of configs (ours) cannot be named. And what a base
   of another package sets gets that package's name as its ``_scope_``, which is a scope of
   registries; this package registers in the root registries and has none.
3. ``mmengine.hub.get_config`` runs ``pip install`` for a distribution it does not find. With the
   fork in place that would put the original mmseg over it.

:func:`patch_config_scopes` closes the first two. With them closed the third does not happen for
what is installed. The first is an entry in MMEngine's table. The second has no entry point: the
parser of ``_base_`` calls ``Config._get_cfg_path`` by name, so the lookup of this package's names
is put in front of it. :func:`config_file` never installs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from ..runtime.errors import MissingFileError, MissingPackageError, UserError

_PACKAGE = Path(__file__).parents[1]
_PREFIX = f"{_PACKAGE.name}::"
_Lookup = Callable[[str, str], tuple[str, str | None]]


def _distribution_is_there(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _with_our_names(lookup: _Lookup) -> _Lookup:
    @wraps(lookup)
    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if not cfg_path.startswith(_PREFIX):
            return lookup(cfg_path, filename)
        path = _PACKAGE / ".mim" / "configs" / cfg_path.removeprefix(_PREFIX)
        if not path.is_file():
            raise MissingFileError(
                f"config {cfg_path!r}: there is no file {path}. Use a name from configs/; if that "
                "folder is missing, install the package (pip install -e .)"
            )
        return str(path), None

    return get_cfg_path


def patch_config_scopes() -> None:
    """Make ``_base_ = 'mmseg::...'`` and ``_base_ = 'sakd_dense::...'`` resolve.

    Safe to call more than once. Changes nothing that already works: with the original
    mmsegmentation installed, its entry stays as it is.

    Example:
        >>> from mmengine.config import Config
        >>> from sakd_dense.config import patch_config_scopes
        >>> patch_config_scopes()
        >>> text = "_base_ = 'sakd_dense::retinanet_sew18_sakd_digits.py'"
        >>> Config.fromstring(text, ".py").model.backbone.type
        'SEWResNet'
    """
    if not _distribution_is_there("mmsegmentation") and find_spec("mmseg") is not None:
        MODULE2PACKAGE["mmseg"] = "mmseg"
    lookup = Config._get_cfg_path
    if not hasattr(lookup, "__wrapped__"):
        Config._get_cfg_path = staticmethod(_with_our_names(lookup))


def config_file(name: str) -> str:
    """The path of the config file that ``name`` means.

    Args:
        name: a path (returned as it is), or ``package::path.py`` with a package of the OpenMMLab
            family or this one, e.g. ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

    Raises:
        UserError: the package is not one that carries configs.
        MissingPackageError: the package is not installed.
        MissingFileError: the package has no such config.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.config import config_file
        >>> Path(config_file("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py")).name
        'retinanet_r50_fpn_1x_coco.py'
    """
    if "::" not in name:
        return name
    patch_config_scopes()
    package = name.partition("::")[0]
    packages = {*MODULE2PACKAGE, _PACKAGE.name}
    if package not in packages:
        known = ", ".join(sorted(packages))
        raise UserError(
            f"config {name!r}: {package!r} is not a package with configs; the known packages are "
            f"{known}"
        )
    if find_spec(package) is None:
        raise MissingPackageError(
            f"config {name!r}: the package {package!r} is not installed. "
            "Install it, or give the path of a config file."
        )
    try:
        return Config._get_cfg_path(name, "")[0]
    except FileNotFoundError as error:  # MMEngine's
        raise MissingFileError(
            f"config {name!r}: {package} has no such config ({error})"
        ) from error


def load_config(name: str, options: dict[str, Any] | None = None) -> Config:
    """The config ``name`` means (a path or ``package::path.py``), with ``--cfg-options`` merged.

    Raises:
        MissingFileError: there is no such file.
        UserError: the file cannot be read, or is written for mmdet 2.x or mmseg 0.x.

    Example:
        >>> from sakd_dense.config import load_config
        >>> load_config("sakd_dense::retinanet_sew18_sakd_digits.py").model.backbone.type
        'SEWResNet'
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
            f"config {name} is written for mmdet 2.x, mmseg 0.x or mmcls (data=dict(...), no "
            "train_dataloader). Use the config of the same name from the installed package "
            "(mmdet::..., mmseg::...), or migrate it as "
            "https://mmdetection.readthedocs.io/en/latest/migration.html describes"
        )
