"""Strict loading of a checkpoint for a test: every key must fit."""

import copy
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import DATASETS, MODELS, RUNNERS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from ..config.models import with_preprocessor
from ..config.teacher import sakd_hook, teacher_of
from ..config.types import class_scope
from ..guards.broken_images import BrokenImageHook
from ..guards.known_classes import KnownClassesHook
from ..runtime.errors import UserError
from ..runtime.files import folder_for_test
from ..transfer.fit import KeyExceptions, fit
from ..transfer.read import Source, read_checkpoint
from ..transfer.weights import Checkpoint, select_tested_model

_STRICT = KeyExceptions()


def build_for_test(
    cfg: Config,
    checkpoint: Source | None,
    ann: bool = False,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """Builds the model of a complete config, loads it strictly and safely, and sets eval mode.

    OpenMMLab's own inference reads the model's attributes ``cfg`` and ``dataset_meta`` (names and
    colours of the classes: the checkpoint's, else those of the config's test set). The config's
    default scope becomes the current one, as with a Runner.

    Args:
        cfg: complete config, whose types are names or classes (pure Python configs).
        checkpoint: as in :func:`load_for_test`. None: the model keeps its initial weights.
        ann: builds the ANN teacher that follows from the config (:func:`teacher_of`) instead. If
            the checkpoint holds several sets of weights, the teacher's set is loaded. Default:
            False.
        device: device of the model. Default: the CPU.

    Raises:
        MissingFileError: the checkpoint does not exist.
        UserError: the checkpoint cannot be read, or does not fit the model.

    Example:
        >>> from sakd_dense.config import load_config
        >>> from sakd_dense.loading import build_for_test
        >>> cfg = load_config("sakd_dense::sew18_sakd_digits.py")
        >>> model, ann = build_for_test(cfg, None), build_for_test(cfg, None, ann=True)
        >>> type(model.backbone).__name__, type(ann.backbone).__name__
        ('SEWResNet', 'ResNet')
    """
    source = None
    if checkpoint is not None:
        teacher = sakd_hook(cfg).get("teacher") or {}
        weights = teacher.get("weights", "auto") if ann else "auto"
        source = read_checkpoint(checkpoint, weights)
        source = select_tested_model(source) if ann else source
    model = build_model(cfg, teacher_of(cfg) if ann else with_preprocessor(cfg))
    meta: dict[str, Any] = {}
    if source is not None:
        meta = load_for_test(model, source)
    else:
        initialize(model)
    model.cfg = cfg
    model.dataset_meta = _dataset_meta(cfg, meta)
    return model.to(device).eval()


def build_model(cfg: Config, model_cfg: Mapping[str, Any]) -> nn.Module:
    """Builds ``model_cfg`` in the default scope of ``cfg``, which becomes the current one."""
    # Pure Python configs have no scope: names in their classes' defaults are their package's.
    init_default_scope(cfg.get("default_scope") or class_scope(model_cfg) or "mmengine")
    return MODELS.build(copy.deepcopy(dict(model_cfg)))


def initialize(model: nn.Module) -> None:
    """Calls ``init_weights`` without its log, which has a line for every parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    init_weights = getattr(model, "init_weights", None)
    if callable(init_weights):
        init_weights()
    logger.setLevel(level)


def _dataset_meta(cfg: Config, meta: Mapping[str, Any]) -> dict[str, Any]:
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    kind = dataset.get("type")
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    merged = {
        **(getattr(kind, "METAINFO", None) or {}),
        **(dataset.get("metainfo") or {}),
        **(meta.get("dataset_meta") or {}),
    }
    if isinstance(merged.get("palette"), str):  # mmdet's 'random' or 'coco'
        del merged["palette"]
    return merged


def load_for_test(model: nn.Module, checkpoint: Source) -> dict[str, Any]:
    """Loads ``checkpoint`` into ``model``, where both must have the same keys.

    Only keys that every :class:`~sakd_dense.transfer.fit.KeyExceptions` accepts may differ, such as
    counters. MMEngine's ``load_from`` merely logs keys that do not fit, so a checkpoint of another
    architecture yields numbers, but wrong ones.

    Args:
        model: the model, wrapped (distributed, test-time augmentation) or not.
        checkpoint: as in :func:`sakd_dense.transfer.read_checkpoint`; no code in it is run.

    Returns:
        The checkpoint's ``meta``.

    Raises:
        MissingFileError: the checkpoint does not exist.
        UserError: the checkpoint cannot be read, or does not fit the model.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from sakd_dense.loading import load_for_test
        >>> model = nn.Linear(2, 2)
        >>> torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=12)), "model.pth")
        >>> load_for_test(model, "model.pth")
        {'epoch': 12}
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    source = read_checkpoint(checkpoint)
    report = fit(source, model.state_dict(), _STRICT, exact=True)
    if not report.shape_differs:
        # Modules may rename old keys while they load, so missing keys are known only now.
        result = model.load_state_dict(source.state, strict=False)
        report.missing = {k: _STRICT.why_missing(k) for k in result.missing_keys}
        report.left = {k: _STRICT.why_left(k) for k in result.unexpected_keys}
    if report.unexplained:
        hints = [
            f"{hint}; tools/transfer.py writes either to a file of its own" for hint in report.hints
        ]
        advice = ". ".join([*hints, "Use the config of its training run"])
        raise UserError(
            f"checkpoint {source} does not fit the {type(model).__name__} of the config: "
            f"{'; '.join(report.unexplained)}. {advice}"
        )
    _warn_of_another_backbone(model, source, source.meta.get("cfg"))
    return source.meta


def runner_for_test(cfg: Config, checkpoint: str | None) -> tuple[Runner, str]:
    """Returns a runner for ``cfg`` that loads no checkpoint, and the checkpoint to load.

    Raises:
        UserError: neither ``checkpoint`` nor the config's ``load_from`` names a checkpoint.
    """
    cfg = copy.deepcopy(cfg)
    checkpoint = checkpoint or cfg.get("load_from")
    if checkpoint is None:
        raise UserError("testing needs trained weights: pass a checkpoint")
    # load_for_test loads the checkpoint instead, strictly.
    cfg.load_from, cfg.resume = None, False
    work_dir = cfg.get("work_dir") or "work_dirs/run"
    if (Path(work_dir) / "last_checkpoint").is_file():  # the folder of a run
        work_dir = folder_for_test(work_dir)
    cfg.work_dir = work_dir
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    runner.register_hook(BrokenImageHook())
    runner.register_hook(KnownClassesHook())
    return runner, checkpoint


def _warn_of_another_backbone(model: nn.Module, checkpoint: Checkpoint, cfg: object) -> None:
    # An ANN's keys are those of its spiking twin, so a mix-up loads without an error.
    name = type(getattr(model, "backbone", None)).__name__
    if not isinstance(cfg, str) or name == "NoneType":
        return
    if re.search(rf"['\"]([\w.]*\.)?{re.escape(name)}['\"]", cfg) is None:
        print_log(
            f"checkpoint {checkpoint} was trained with a config that has no {name}: its weights "
            "fit, but they may be those of the ANN (or of the SNN) of the same architecture",
            logger="current",
            level=logging.WARNING,
        )
