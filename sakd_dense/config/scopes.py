"""Resolution of config names of the form ``package::path.py``, for mmseg and for this package.

MMEngine looks up such a name in three steps, and each has a gap:

1. ``MODULE2PACKAGE`` maps a module to its distribution. It maps ``mmseg`` to ``mmsegmentation``,
   but the maintained fork is called ``onedl-mmsegmentation``.
2. A name must contain a slash, so it cannot refer to a flat folder of configs like this package's.
   MMEngine also adds ``_scope_``, the name of the package, to the settings of a base from another
   package. A scope names registries; this package has none, since it registers in the root
   registries.
3. ``mmengine.hub.get_config`` runs ``pip install`` for a distribution that it does not find. If
   the fork is installed, this call would overwrite it with the original mmseg.

:func:`patch_config_scopes` closes the first two gaps. The third then does not occur for installed
packages. The first fix is an entry in MMEngine's table. The second has no entry point: the parser
of ``_base_`` calls ``Config._get_cfg_path`` by name, so the patch wraps that method and looks up
this package's names first. :func:`config_file` never installs anything.
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
    """Patches MMEngine so that it resolves ``_base_ = 'mmseg::...'`` and ``'sakd_dense::...'``.

    You can call this function more than once. It changes nothing that already works: if the
    original mmsegmentation is installed, its entry is kept.

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
    """Returns the path of the config file that ``name`` refers to.

    Args:
        name: a path (returned unchanged), or ``package::path.py`` with an OpenMMLab package or
            this one, for example ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

    Raises:
        UserError: the package is not one with configs.
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
    """Loads a config and merges options into it.

    Args:
        name: a path or ``package::path.py``, see :func:`config_file`.
        options: the settings of ``--cfg-options``, which override those of the config.

    Raises:
        MissingFileError: the file does not exist.
        UserError: the file cannot be read, or is written for mmdet 2.x, mmseg 0.x or mmcls; also
            the errors of :func:`config_file`.

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
    except Exception as error:  # a config runs as Python, so a mistake in it may raise anything
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
