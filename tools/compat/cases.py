"""Upstream's configs with a convolutional backbone, grouped into cases of equal models."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import ProgressBar

from sakd_dense.config.models import drop_checkpoints, with_preprocessor
from sakd_dense.config.types import ANN_TYPES, ann_backbone_cfgs, type_name
from sakd_dense.runtime.errors import MissingPackageError, UserError, first_line

PACKAGES = ("mmdet", "mmseg", "mmpretrain")
#: ``'resnet'``: backbones with their own forward pass; ``'other'``: those that run upstream's.
BACKBONES = ("resnet", "other")


@dataclass
class Case:
    """One model, and every config of a package that defines it.

    Args:
        package: the package of the configs, one of :data:`PACKAGES`.
        configs: paths relative to the package's folder of configs, sorted.
        model: the config of the model without checkpoints; None if the config could not be read.
        error: the error that reading the config raised; empty by default.
        scope: the package in whose registry the model is: the config's ``default_scope``. Default:
            ``package``. RTMDet's classifiers are configs of mmdet, but models of mmpretrain.
    """

    package: str
    configs: list[str]
    model: dict[str, Any] | None
    error: str = ""
    scope: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.scope = self.scope or self.package
        text = json.dumps([self.package, self.model or self.configs], sort_keys=True, default=str)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Package and first config: ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``."""
        return f"{self.package}::{self.configs[0]}"

    @property
    def family(self) -> str:
        """Folder of the first config, such as ``retinanet``."""
        return self.configs[0].partition("/")[0]


def config_folder(package: str) -> Path:
    """Returns the folder in which an installed ``package`` keeps its configs.

    Raises:
        MissingPackageError: ``package`` is not installed, or was installed without its configs.
    """
    spec = find_spec(package)
    places = [
        Path(p) / ".mim" / "configs" for p in (spec and spec.submodule_search_locations) or ()
    ]
    for folder in places:
        if folder.is_dir():
            return folder
    raise MissingPackageError(
        f"{package} is not installed, or has no configs in {places or '.mim'}"
    )


def find_cases(
    package: str, match: str = "*", progress: bool = False, backbones: str | None = None
) -> list[Case]:
    """Returns every case of ``package`` with a config whose path fits ``match``.

    Args:
        package: one of :data:`PACKAGES`.
        match: glob for the path of a config relative to the package's folder of configs, such as
            ``retinanet/*r50*``. Default: all configs.
        progress: whether to show a progress bar. Default: False.
        backbones: one of :data:`BACKBONES`, or None (default) for both.
    """
    if package not in PACKAGES:
        raise UserError(f"package={package!r}: must be one of {PACKAGES}")
    folder = config_folder(package)
    files = sorted(f for f in folder.rglob("*.py") if "_base_" not in f.relative_to(folder).parts)
    files = [f for f in files if fnmatch(str(f.relative_to(folder)), match)]
    bar = ProgressBar(len(files)) if progress and files else None
    cases: dict[str, Case] = {}
    for file in files:
        for case in _read(package, file, str(file.relative_to(folder))):
            if backbones is not None and _kind(case) != backbones:
                continue
            if case.key in cases:
                cases[case.key].configs += case.configs
            else:
                cases[case.key] = case
        if bar is not None:
            bar.update()
    return list(cases.values())


def _kind(case: Case) -> str:
    if case.model is None:  # the config could not be read, but it names a ResNet
        return "resnet"
    names = {type_name(b["type"]) for b in ann_backbone_cfgs(case.model)}
    return "resnet" if names <= set(ANN_TYPES) else "other"


def _read(package: str, file: Path, name: str) -> Iterator[Case]:
    """Yields the case of one config; none if it has no model or a backbone of another kind."""
    try:
        cfg = Config.fromfile(str(file))
    except Exception as error:  # a config may raise anything; its error is the result
        if "ResNe" in file.read_text():
            yield Case(package, [name], None, first_line(error))
        return
    if not cfg.get("model") or not cfg.model.get("type"):
        return
    if package == "mmpretrain" and type_name(cfg.model.type) != "ImageClassifier":
        return  # self-supervised training, and detectors and segmentors of the other packages
    model = _detector(Config(dict(model=with_preprocessor(cfg))).model.to_dict())
    try:
        ann_backbone_cfgs(model)
    except ValueError:
        return
    drop_checkpoints(model)
    if model.get("teacher_config"):  # upstream's path is relative to its repository
        model["teacher_config"] = str(config_folder(package).parent / model["teacher_config"])
    yield Case(package, [name], model, scope=cfg.get("default_scope") or package)


def _detector(model: dict[str, Any]) -> dict[str, Any]:
    """Returns the detector of a tracker, and any other model unchanged.

    A semi-supervised wrapper stays, because it trains its detector.
    """
    sees = model.get("data_preprocessor") or {}
    if "detector" not in model or type_name(sees.get("type")) != "TrackDataPreprocessor":
        return model
    detector = dict(model["detector"])
    sees = {k: v for k, v in sees.items() if k != "use_det_processor"}  # the tracker's own
    detector.setdefault("data_preprocessor", {**sees, "type": "DetDataPreprocessor"})
    return detector


def shortened(error: BaseException) -> str:
    """Returns type and first line of an error, at most 200 characters: ``KeyError: 'x'``."""
    text = " ".join(first_line(error).split())
    return f"{type_name(type(error))}: {text}"[:200]
