"""Loading a checkpoint to test it: whole, or not at all."""

import copy
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import DATASETS, MODELS, RUNNERS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from ..config.models import with_preprocessor
from ..config.teacher import teacher_of
from ..runtime.errors import UserError
from . import read_state_dict

#: Not weights: counters that old checkpoints lack, pixel statistics that old ones hold.
_MAY_MISS = re.compile(r"(^|\.)num_batches_tracked$")
_MAY_BE_LEFT = re.compile(r"^data_preprocessor\.(mean|std)$")
_SHOWN = 4


def build_for_test(
    cfg: Config,
    checkpoint: str | os.PathLike[str] | None,
    ann: bool = False,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """The model of a whole config, loaded strictly and safely, in eval mode.

    Its attributes ``cfg`` and ``dataset_meta`` (names and colours of the classes: the
    checkpoint's, else those of the config's test set) are what OpenMMLab's own inference reads.
    The config's default scope becomes the current one, as a Runner makes it.

    Args:
        cfg: with names or with classes as types (pure Python configs).
        checkpoint: as in :func:`load_for_test`. None: the model keeps its initial weights.
        ann: build the ANN teacher that follows from the config (:func:`teacher_of`) instead.
        device: where the model goes.

    Raises:
        MissingFileError: there is no such file.
        UserError: the checkpoint cannot be read, or does not fit the model.
    """
    scope = cfg.get("default_scope", "mmengine")
    if scope is not None:  # pure Python configs: each package finds the defaults of its classes
        init_default_scope(scope)
    model_cfg = teacher_of(cfg) if ann else with_preprocessor(cfg)
    model = MODELS.build(copy.deepcopy(model_cfg))
    meta: dict[str, Any] = {}
    if checkpoint is not None:
        meta = load_for_test(model, checkpoint)
    elif hasattr(model, "init_weights"):
        model.init_weights()
    model.cfg = cfg
    model.dataset_meta = _dataset_meta(cfg, meta)
    return model.to(device).eval()


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


def load_for_test(model: nn.Module, checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """Loads ``checkpoint`` into ``model``, every key of it into every key of the model.

    MMEngine's ``load_from`` logs keys that do not fit and goes on, so a checkpoint of another
    architecture gives numbers, only wrong ones.

    Args:
        model: wrapped (distributed, test-time augmentation) or not.
        checkpoint: what :func:`sakd_dense.transfer.read_state_dict` takes; nothing in it is run.

    Returns:
        The checkpoint's ``meta``.

    Raises:
        MissingFileError: there is no such file.
        UserError: it cannot be read, or does not fit the model.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    state, meta = read_state_dict(checkpoint)
    own = model.state_dict()
    shapes = [
        f"{k} ({_shape(state[k])} in the checkpoint, {_shape(own[k])} in the model)"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    if not shapes:
        # Modules may rename old keys while they load, so what is missing is known only now.
        result = model.load_state_dict(state, strict=False)
        missing = [k for k in result.missing_keys if not _MAY_MISS.search(k)]
        left = [k for k in result.unexpected_keys if not _MAY_BE_LEFT.search(k)]
    else:
        missing = [k for k in own if k not in state and not _MAY_MISS.search(k)]
        left = [k for k in state if k not in own and not _MAY_BE_LEFT.search(k)]
    problems = [
        _count(missing, "of the model's keys missing"),
        _count(left, "keys the model does not have"),
        _count(shapes, "of another shape"),
    ]
    if any(problems):
        raise UserError(
            f"checkpoint {checkpoint} does not fit the {type(model).__name__} of the config: "
            f"{'; '.join(p for p in problems if p)}. Give the config it was trained with"
        )
    _warn_of_another_backbone(model, checkpoint, meta.get("cfg"))
    return meta


def runner_for_test(cfg: Config, checkpoint: str | None) -> tuple[Runner, str]:
    """A runner for ``cfg``, into which nothing is loaded, and the checkpoint to load.

    Raises:
        UserError: neither ``checkpoint`` nor the config's ``load_from`` names one.
    """
    cfg = copy.deepcopy(cfg)
    checkpoint = checkpoint or cfg.get("load_from")
    if checkpoint is None:
        raise UserError("no checkpoint: random weights say nothing; name one")
    # Loaded by load_for_test instead, strictly.
    cfg.load_from, cfg.resume = None, False
    cfg.setdefault("work_dir", "work_dirs/test")
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    return runner, checkpoint


def _shape(tensor: object) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"  # type: ignore[attr-defined]


def _count(keys: list[str], what: str) -> str:
    if not keys:
        return ""
    more = ", ..." if len(keys) > _SHOWN else ""
    return f"{len(keys)} {what}: {', '.join(keys[:_SHOWN])}{more}"


def _warn_of_another_backbone(model: nn.Module, checkpoint: object, cfg: object) -> None:
    # An ANN's keys are those of its spiking twin, so a mix-up loads without a fault.
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
