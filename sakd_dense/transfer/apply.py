"""Level 1: the weights of an ANN become those of the spiking model of the same architecture."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ..runtime.errors import UserError
from .keys import backbone_prefix, choose_part, describe_resnet, match_keys, matches
from .read import COUNTERS, read_state_dict
from .report import ShapeDiffers, TransferError, TransferReport

PARTS = ("auto", "all", "backbone", "head")


def transfer(
    model: nn.Module,
    checkpoint: str | os.PathLike[str],
    part: str = "auto",
    left_ok: Sequence[str] = (),
    missing_ok: Sequence[str] = (),
) -> TransferReport:
    """Load ``checkpoint`` into ``model`` and account for every key of both.

    Weights and BatchNorm's running statistics are copied as they are. Nothing is copied unless
    every key is taken or explained.

    Args:
        model: a detector, segmentor, classifier, or a backbone alone.
        checkpoint: as in :func:`~sakd_dense.transfer.read_state_dict`.
        part: ``'all'``, ``'backbone'``, ``'head'`` (all but the backbone), or ``'auto'``: all, if
            the checkpoint has a neck or head that the model has too, else the backbone.
        left_ok: glob patterns of source keys that may be left.
        missing_ok: glob patterns of target keys that may stay at their initialisation, because
            the source lacks them or holds them in another shape.

    Raises:
        MissingFileError: there is no such checkpoint.
        TransferError: keys are unexplained, or a weight is not finite.
        UserError: the file cannot be read, or ``part`` is unknown.
    """
    if part not in PARTS:
        raise UserError(f"part={part!r}: take one of {PARTS}")
    model = model.module if is_model_wrapper(model) else model
    name = os.fspath(checkpoint)
    source, _ = read_state_dict(name)
    target = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    part = choose_part(source, target) if part == "auto" else part
    report = TransferReport(checkpoint=name, part=part)
    pairs = _account(report, source, target, left_ok, missing_ok, _neuron_keys(model))
    if report.unexplained:
        report.hints = _hints(report, source, target)
        raise TransferError(_complaint(report), report)
    if not pairs:
        raise TransferError(f"{name}: not one of its keys fits the model", report)
    broken = [s for s in pairs if not bool(torch.isfinite(source[s]).all())]
    if broken:
        raise TransferError(f"{name}: NaN or infinite values in {', '.join(broken[:6])}", report)
    with torch.no_grad():
        for old, new in pairs.items():
            target[new].copy_(source[old])
    print_log(report.table(), logger="current", level=logging.INFO)
    return report


def _account(
    report: TransferReport,
    source: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    left_ok: Sequence[str],
    missing_ok: Sequence[str],
    neuron_keys: set[str],
) -> dict[str, str]:
    """Fill ``report``; returns source key -> target key of what can be copied."""
    pairs: dict[str, str] = {}
    whole = backbone_prefix(source) is not None
    for old, new in match_keys(source, target, report.part).items():
        if new is None and report.part != "all":
            there = "not part of the backbone" if report.part == "backbone" else "of the backbone"
            report.left[old] = there
        elif new is None or new not in target:
            report.left[old] = _why_left(old, whole, left_ok)
        elif source[old].shape != target[new].shape:
            kept = "allowed by missing_ok" if matches(new, missing_ok) else None
            shapes = list(source[old].shape), list(target[new].shape)
            report.shape_differs[new] = ShapeDiffers(*shapes, reason=kept)
        else:
            pairs[old] = new
            if old == new:
                report.taken.append(old)
            else:
                report.renamed[old] = new
    reached = set(pairs.values()) | set(report.shape_differs)
    prefix = backbone_prefix(target) or ""
    for key in target:
        if key in reached:
            continue
        if report.part == "backbone" and not key.startswith(prefix):
            report.missing[key] = "not part of a backbone checkpoint"
        elif report.part == "head" and key.startswith(prefix):
            report.missing[key] = "the backbone starts otherwise"
        else:
            report.missing[key] = _why_missing(key, neuron_keys, missing_ok)
    return pairs


def _why_left(key: str, whole: bool, left_ok: Sequence[str]) -> str | None:
    if key in COUNTERS:
        return "counter of an averaged model"
    if "data_preprocessor." in key:
        return "the model normalises by its own config"
    if not whole and key.split(".")[0] == "fc":
        return "torchvision's classifier"
    return "allowed by left_ok" if matches(key, left_ok) else None


def _why_missing(key: str, neuron_keys: set[str], missing_ok: Sequence[str]) -> str | None:
    if key in neuron_keys:
        return "learnable parameter of a neuron, which no ANN has"
    if key.endswith("num_batches_tracked"):
        return "a counter that old checkpoints lack"
    if "data_preprocessor." in key:
        return "the model normalises by its own config"
    return "allowed by missing_ok" if matches(key, missing_ok) else None


def _neuron_keys(model: nn.Module) -> set[str]:
    # By module, not by class: any neuron of SpikingJelly, without importing it.
    homes = ("spikingjelly.", "sakd_dense.neurons")
    keys = set()
    for name, module in model.named_modules():
        if type(module).__module__.startswith(homes):
            keys |= {f"{name}.{key}" for key in module.state_dict()}
    return keys


def _hints(
    report: TransferReport, source: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> list[str]:
    hints = []
    theirs, ours = describe_resnet(source), describe_resnet(target)
    if theirs and ours and theirs != ours:
        hints.append(
            f"the checkpoint's backbone is a {theirs}, the model's a {ours}; level 1 needs the "
            "same architecture"
        )
    elif ours and not theirs:
        hints.append(f"the checkpoint holds no ResNet, the model's backbone is a {ours}")
    outside = [k for k, d in report.shape_differs.items() if d.reason is None]
    if outside and not hints:
        hints.append(
            "layers that differ only in shape usually mean another number of classes: set the "
            "model's num_classes to the checkpoint's, or allow the keys by missing_ok"
        )
    if not hints and report.part == "all":
        hints.append("part='backbone' takes the backbone alone")
    return hints


def _complaint(report: TransferReport) -> str:
    lines = [f"{report.checkpoint}: keys that nothing explains (part={report.part!r})"]
    lines += [f"  - {line}" for line in report.unexplained]
    lines += [f"  {hint}" for hint in report.hints]
    lines.append(
        "  Keys that may be left out are named by glob patterns: left_ok=['head.*'] for those of "
        "the checkpoint, missing_ok=['head.*'] for those of the model"
    )
    return "\n".join(lines)
