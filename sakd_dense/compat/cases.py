"""Upstream's configs with a convolutional backbone; those whose models are equal are one case."""

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

from ..config.models import drop_checkpoints, with_preprocessor
from ..config.types import ANN_TYPES, ann_backbone_cfgs, type_name
from ..runtime.errors import MissingPackageError, UserError

PACKAGES = ("mmdet", "mmseg", "mmpretrain")
#: ``'resnet'``: backbones with a pass of their own; ``'other'``: those that run upstream's.
BACKBONES = ("resnet", "other")


@dataclass
class Case:
    """One model, and every config of ``package`` that has it.

    Args:
        configs: paths below the package's folder of configs, sorted.
        model: the config of the model, no checkpoint in it; None where no config could be read.
        error: why not.

    Example:
        >>> from sakd_dense.compat import Case
        >>> case = Case("mmdet", ["retinanet/retinanet_r50_fpn_1x_coco.py"], dict(type="RetinaNet"))
        >>> case.family, case.name
        ('retinanet', 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    """

    package: str
    configs: list[str]
    model: dict[str, Any] | None
    error: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        text = json.dumps([self.package, self.model or self.configs], sort_keys=True, default=str)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``"""
        return f"{self.package}::{self.configs[0]}"

    @property
    def family(self) -> str:
        """The folder of its first config: ``retinanet``."""
        return self.configs[0].partition("/")[0]


def config_folder(package: str) -> Path:
    """Returns the folder in which an installed ``package`` keeps its configs.

    Raises:
        MissingPackageError: it is not installed, or was installed without them.
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
    """Every case of ``package`` with a config that ``match`` (a glob: ``retinanet/*r50*``) fits.

    Args:
        package: one of :data:`PACKAGES`.
        match: of the config's path below the package's folder of configs.
        progress: show a bar.
        backbones: one of :data:`BACKBONES`, or both (None).

    Example:
        >>> from sakd_dense.compat import find_cases
        >>> [case.name for case in find_cases("mmdet", "retinanet/retinanet_r50_fpn_1x_*.py")]
        ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py']
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
    if case.model is None:  # no config could be read; it names a ResNet
        return "resnet"
    names = {type_name(b["type"]) for b in ann_backbone_cfgs(case.model)}
    return "resnet" if names <= set(ANN_TYPES) else "other"


def _read(package: str, file: Path, name: str) -> Iterator[Case]:
    """The case of one config; none where its backbone is of another kind, or it has no model."""
    try:
        cfg = Config.fromfile(str(file))
    except Exception as error:  # anything may stand in a config; what it says is the result
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
    if model.get("teacher_config"):  # upstream's path is below its repository
        model["teacher_config"] = str(config_folder(package).parent / model["teacher_config"])
    yield Case(package, [name], model)


def _detector(model: dict[str, Any]) -> dict[str, Any]:
    """Of a tracker, what detects; a semi-supervised wrapper trains its detector, and stays."""
    sees = model.get("data_preprocessor") or {}
    if "detector" not in model or type_name(sees.get("type")) != "TrackDataPreprocessor":
        return model
    detector = dict(model["detector"])
    sees = {k: v for k, v in sees.items() if k != "use_det_processor"}  # the tracker's own
    detector.setdefault("data_preprocessor", {**sees, "type": "DetDataPreprocessor"})
    return detector


def first_line(error: BaseException) -> str:
    """``KeyError: 'x'``: the type and the first line of an error, cut where it is long."""
    text = " ".join((str(error).strip().splitlines() or [""])[0].split())
    return f"{type_name(type(error))}: {text}"[:200]
